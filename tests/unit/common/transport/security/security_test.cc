#include "common/transport/security/security.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "common/base/status.h"
#include "common/transport/security/certificates.h"

namespace terse {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

TEST(SecurityTest, LoopbackIsANumberOrLocalhost) {
  for (const char* address :
       {"127.0.0.1:7000", "127.9.8.7:0", "[::1]:7000", "localhost:1",
        "unix:/tmp/a.socket", "unix:relative"}) {
    EXPECT_TRUE(IsLoopback(address)) << address;
  }
  for (const char* address :
       {"0.0.0.0:7000", "[::]:7000", "127.evil.example:1", "10.0.0.1:1",
        "localhost.example:1", "128.0.0.1:1", "dns:///127.0.0.1:1", ":1", "",
        "[::ffff:10.0.0.1]:1", "node-a:7000", "127.0.0.1.example:1"}) {
    EXPECT_FALSE(IsLoopback(address)) << address;
  }
}

TEST(SecurityTest, PlaintextBeyondThisMachineIsRefused) {
  EXPECT_TRUE(CheckSecurity({}, "127.0.0.1:0").ok());
  const absl::Status refused = CheckSecurity({}, "node-a:7000");
  EXPECT_EQ(ExitCodeOf(refused), ExitCode::kNotAllowed);
  for (const char* part : {"node-a:7000", "--tls DIR", "--insecure"}) {
    EXPECT_THAT(std::string(refused.message()), HasSubstr(part));
  }
  EXPECT_TRUE(CheckSecurity({.insecure = true}, "node-a:7000").ok());
  EXPECT_TRUE(CheckSecurity({.tls_directory = "d"}, "node-a:7000").ok());
}

class TlsFilesTest : public testing::Test {
 protected:
  TlsFilesTest()
      : folder_((fs::path(testing::TempDir()) /
                 ("terse-security-" + std::to_string(getpid())))
                    .string()) {
    fs::remove_all(folder_);
  }
  ~TlsFilesTest() override { fs::remove_all(folder_); }

  std::string Made(const std::string& name,
                   absl::Duration validity = absl::Hours(1)) const {
    const std::string directory = folder_ + "/" + name;
    EXPECT_TRUE(MakeCertificates(directory, validity).ok());
    return directory;
  }
  // That files of `directory` are refused, and why.
  static void ExpectRefused(const std::string& directory,
                            const std::string& why) {
    const absl::Status status = CheckTlsFiles(directory);
    EXPECT_EQ(ExitCodeOf(status), ExitCode::kNotAllowed);
    EXPECT_THAT(std::string(status.message()), HasSubstr(why));
  }

  const std::string folder_;
};

TEST_F(TlsFilesTest, WhatIsMadeHolds) {
  const std::string directory = Made("a");
  EXPECT_TRUE(CheckTlsFiles(directory).ok()) << CheckTlsFiles(directory);
  EXPECT_TRUE(CheckTlsFiles("").ok());
  for (const char* key : {"/ca.key", "/tls.key"}) {
    struct stat file;
    ASSERT_EQ(stat((directory + key).c_str(), &file), 0);
    EXPECT_EQ(file.st_mode & 0777, 0600u) << key;
  }
}

TEST_F(TlsFilesTest, ARenewedCertificateIsOfTheSameAuthority) {
  const std::string directory = Made("a", -absl::Hours(1));
  ExpectRefused(directory, "expired");
  const auto authority = fs::last_write_time(directory + "/ca.crt");
  Made("a");
  EXPECT_EQ(fs::last_write_time(directory + "/ca.crt"), authority);
  EXPECT_TRUE(CheckTlsFiles(directory).ok());
}

TEST_F(TlsFilesTest, OthersFilesAreRefused) {
  const std::string directory = Made("a");
  const std::string other = Made("b");
  const auto overwrite = fs::copy_options::overwrite_existing;
  fs::copy(other + "/tls.key", directory + "/tls.key", overwrite);
  ExpectRefused(directory, "not the certificate of tls.key");
  fs::copy(other + "/tls.crt", directory + "/tls.crt", overwrite);
  ExpectRefused(directory, "tls.crt");
  fs::copy(other + "/ca.crt", directory + "/ca.crt", overwrite);
  EXPECT_TRUE(CheckTlsFiles(directory).ok());
  // ca.key is still the first one's.
  const absl::Status renewed = MakeCertificates(directory, absl::Hours(1));
  EXPECT_EQ(ExitCodeOf(renewed), ExitCode::kNotAllowed);
}

TEST_F(TlsFilesTest, NonsenseAndMissingFilesAreNamed) {
  const std::string directory = Made("a");
  for (const char* name : {"/tls.key", "/tls.crt", "/ca.crt"}) {
    std::ofstream(directory + name) << "nonsense";
    ExpectRefused(directory, name);
  }
  fs::remove(directory + "/tls.key");
  const absl::Status status = CheckTlsFiles(directory);
  EXPECT_EQ(ExitCodeOf(status), ExitCode::kInputMissing);
  EXPECT_THAT(std::string(status.message()), HasSubstr("a/tls.key"));
}

TEST_F(TlsFilesTest, AFolderThatCannotBeWrittenIsTheDisksFault) {
  EXPECT_EQ(ExitCodeOf(MakeCertificates("/proc/none", absl::Hours(1))),
            ExitCode::kDisk);
}

}  // namespace
}  // namespace terse
