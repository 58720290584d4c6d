#include "common/config/job.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/limits.h"
#include "common/base/status.h"
#include "common/base/string_view.h"
#include "common/config/check.h"
#include "common/config/names.h"
#include "common/config/override.h"
#include "common/config/reader.h"
#include "common/config/schema.h"
#include "common/config/yaml_tree.h"

namespace terse {
namespace {

absl::StatusOr<std::string> ReadWholeFile(const std::string& path) {
  std::error_code error;
  const auto file_status = std::filesystem::status(path, error);
  if (!std::filesystem::exists(file_status)) {
    return WithExitCode(
        absl::NotFoundError(absl::StrCat(
            path,
            ": no such job file; deploy/examples holds some to start "
            "from")),
        ExitCode::kInputMissing);
  }
  if (std::filesystem::is_directory(file_status)) {
    return WithExitCode(absl::NotFoundError(absl::StrCat(
                            path, ": is a folder, not a job file")),
                        ExitCode::kInputMissing);
  }
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    return WithExitCode(
        absl::PermissionDeniedError(
            absl::StrCat(path, ": cannot be opened: ", std::strerror(errno))),
        ExitCode::kNotAllowed);
  }
  // One byte above the limit is enough for ParseYaml to refuse the text, and a
  // device without an end stops there.
  std::string text(kJobFileBytesMax + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (file.bad()) {
    return WithExitCode(
        absl::DataLossError(absl::StrCat(path, ": cannot be read")),
        ExitCode::kDisk);
  }
  text.resize(static_cast<size_t>(file.gcount()));
  return text;
}

}  // namespace

absl::StatusOr<Job> ReadJobFile(const std::string& path,
                                const std::vector<std::string>& overrides) {
  TERSE_ASSIGN_OR_RETURN(const std::string text, ReadWholeFile(path));
  return ParseJob(text, path, overrides);
}

absl::StatusOr<Job> ParseJob(std::string_view yaml, const std::string& source,
                             const std::vector<std::string>& overrides) {
  std::vector<YamlSource> sources = {{.name = source}};
  for (const std::string& override : overrides) {
    sources.push_back({.name = kOverrideFlag + ForMessage(override, 200),
                       .has_lines = false});
  }
  TERSE_ASSIGN_OR_RETURN(YamlNode root, ParseYaml(yaml, sources, 0));
  if (root.kind != YamlNode::Kind::kMapping) {
    const bool empty = root.kind == YamlNode::Kind::kNull;
    return YamlError(
        sources, empty ? YamlPlace{} : root.place,
        absl::StrCat(
            empty ? "the file is empty; a job"
                  : absl::StrCat("a job is not ", DescribeNode(root), " but"),
            empty ? " is" : "", " a mapping with the keys ",
            absl::StrJoin(KeyNames(*Job::descriptor()), ", ")));
  }
  for (uint32_t i = 0; i < overrides.size(); ++i) {
    TERSE_RETURN_IF_ERROR(
        ApplyOverride(overrides[i], sources, i + 1, *Job::descriptor(), root));
  }
  Job job;
  MessageReader reader(sources);
  TERSE_RETURN_IF_ERROR(reader.Read(std::move(root), "", job));
  FillDefaults(job);
  TERSE_RETURN_IF_ERROR(
      CheckJob(job, [&](std::string_view path, std::string_view text) {
        return reader.ErrorAt(path, text);
      }));
  // Workers are given the job as PrintJob writes it.
  if (PrintJob(job).size() > kJobFileBytesMax) {
    return YamlError(sources, {},
                     absl::StrCat("with every default written out, the job is "
                                  "larger than the limit of ",
                                  kJobFileBytesMax, " bytes"));
  }
  return job;
}

absl::StatusOr<GradientCodec> ParseCodec(std::string_view text) {
  const std::vector<YamlSource> sources = {
      {.name = absl::StrCat("codec '", ForMessage(text, 200), "'"),
       .has_lines = false}};
  // A codec's text is one scalar, whatever YAML would make of it.
  YamlNode node{.kind = YamlNode::Kind::kScalar, .text = std::string(text)};
  GradientCodec codec;
  MessageReader reader(sources);
  TERSE_RETURN_IF_ERROR(reader.Read(std::move(node), "", codec));
  FillDefaults(codec);
  return codec;
}

}  // namespace terse
