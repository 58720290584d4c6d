// Does to a server of a running job what somebody may who can reach its port,
// for some seconds, and prints what the server answered:
//   hostile_client ADDRESS SECONDS        (TERSE_TOKEN: the job's)
// hostile.py beside this file measures what the job feels of it.
#include <arpa/inet.h>
#include <fcntl.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <regex>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/limits.h"
#include "common/transport/grpc/grpc_link.h"
#include "common/transport/inbox.h"
#include "common/wire/messages.h"
#include "proto/wire.pb.h"

namespace terse {
namespace {

constexpr absl::Duration kAnswerTimeout = absl::Seconds(10);
constexpr int kConnections = 1000;
constexpr int kTricklers = 50;

wire::Join JoinAs(const std::string& token, uint32_t rank) {
  wire::Join join;
  join.set_token(token);
  join.set_rank(rank);
  return join;
}

// What a server says to one frame, by a link that speaks correctly.
std::string Answer(const std::string& address, Frame frame) {
  Inbox inbox(1 << 24);
  auto link = MakeGrpcLink({}, inbox);
  if (!link.ok()) return std::string(link.status().message());
  const PeerId peer = (*link)->Connect(address, kAnswerTimeout);
  (*link)->Send(peer, std::move(frame)).IgnoreError();
  const auto event = inbox.Pop(absl::Now() + kAnswerTimeout);
  if (!event) return "no answer";
  if (!event->frame) return std::string(event->reason.message());
  if (event->frame->type != wire::ABORT) {
    return absl::StrCat("a frame of type ", event->frame->type);
  }
  return std::string(StatusOfAbort(*event->frame).message());
}

// The same to bytes that are no frames, in messages of one stream.
std::string RawAnswer(const std::string& address,
                      const std::vector<std::string>& messages) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxSendMessageSize(-1);
  const auto channel = grpc::CreateCustomChannel(
      address, grpc::InsecureChannelCredentials(), arguments);
  grpc::GenericStub stub(channel);
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + kAnswerTimeout));
  grpc::CompletionQueue queue;
  const auto call =
      stub.PrepareCall(&context, "/terse.wire.Link/Connect", &queue);
  void* tag;
  bool ok = true;
  call->StartCall(&tag);
  queue.Next(&tag, &ok);
  for (const std::string& message : messages) {
    if (!ok) break;
    const grpc::Slice slice(message);
    call->Write(grpc::ByteBuffer(&slice, 1), &tag);
    queue.Next(&tag, &ok);
  }
  grpc::ByteBuffer answer;
  do {
    call->Read(&answer, &tag);
    queue.Next(&tag, &ok);
  } while (ok);
  grpc::Status status;
  call->Finish(&status, &tag);
  queue.Next(&tag, &ok);
  return status.error_message();
}

// A frame's header; what it says of its payload need not be true.
std::string Header(uint32_t payload_bytes, uint8_t type = wire::JOIN) {
  std::string header(24, '\0');
  header[0] = 'T';
  header[1] = 'F';
  header[2] = 1;
  header[3] = static_cast<char>(type);
  std::memcpy(&header[4], &payload_bytes, sizeof(payload_bytes));
  return header;
}

int TcpConnection(const std::string& address) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in target = {};
  target.sin_family = AF_INET;
  target.sin_port = htons(std::stoi(address.substr(address.rfind(':') + 1)));
  target.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(fd, reinterpret_cast<sockaddr*>(&target), sizeof(target)) != 0) {
    close(fd);
    return -1;
  }
  fcntl(fd, F_SETFL, O_NONBLOCK);
  return fd;
}

// Connections that are held, some of them sending a byte now and then.
class Held {
 public:
  explicit Held(const std::string& address) {
    for (int i = 0; i < kConnections; ++i) {
      const int fd = TcpConnection(address);
      if (fd >= 0) fds_.push_back(fd);
    }
  }
  ~Held() {
    size_t open = 0;
    for (const int fd : fds_) {
      char byte;
      open += recv(fd, &byte, 1, MSG_PEEK) != 0;
      close(fd);
    }
    std::printf(
        "%zu connections of TCP, %d of them trickling: %zu still open\n",
        fds_.size(), kTricklers, open);
  }
  void Trickle() {
    static constexpr char kPreface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    for (size_t i = 0; i < fds_.size() && i < kTricklers; ++i) {
      send(fds_[i], &kPreface[sent_ % (sizeof(kPreface) - 1)], 1, MSG_NOSIGNAL);
    }
    ++sent_;
  }

 private:
  std::vector<int> fds_;
  size_t sent_ = 0;
};

void Attack(const std::string& address, absl::Duration duration) {
  const char* token = std::getenv("TERSE_TOKEN");
  const std::string right = token != nullptr ? token : "";
  const std::string block(kBlockPayloadBytesMax, 'x');
  using Attempt = std::function<std::string()>;
  const std::vector<std::pair<std::string, Attempt>> attempts = {
      {"wrong token",
       [&] {
         return Answer(address, MakeMessage(wire::JOIN, JoinAs("wrong", 0)));
       }},
      {"rank that is taken",
       [&] {
         return Answer(address, MakeMessage(wire::JOIN, JoinAs(right, 0)));
       }},
      {"rank that there is not",
       [&] {
         return Answer(address, MakeMessage(wire::JOIN, JoinAs(right, 4000)));
       }},
      {"gradient without joining",
       [&] {
         return Answer(address,
                       MakeFrame(wire::GRADIENT, 3, 0,
                                 Buffer::CopyOf(std::string(100, 'g'))));
       }},
      {"join that is no message",
       [&] {
         return Answer(address,
                       MakeFrame(wire::JOIN, 0, 0,
                                 Buffer::CopyOf(std::string(99, '\xff'))));
       }},
      {"frame of a block before joining",
       [&] {
         return Answer(address,
                       MakeFrame(wire::JOIN, 0, 0, Buffer::CopyOf(block)));
       }},
      {"bytes that are no frame",
       [&] { return RawAnswer(address, {std::string(5000, 'n')}); }},
      {"wrong checksum",
       [&] { return RawAnswer(address, {Header(4) + "abcd"}); }},
      {"header that promises 1 GiB",
       [&] { return RawAnswer(address, {Header(1u << 30)}); }},
      {"header that promises 4 GiB",
       [&] { return RawAnswer(address, {Header(~0u)}); }},
      {"message of 5 MiB",
       [&] { return RawAnswer(address, {std::string(5 << 20, 'm')}); }},
      {"stream that says nothing", [&] { return RawAnswer(address, {}); }},
  };
  std::map<std::string, std::map<std::string, int>> answers;
  const absl::Time end = absl::Now() + duration;
  Held held(address);
  for (size_t i = 0; absl::Now() < end; ++i) {
    const auto& [name, attempt] = attempts[i % attempts.size()];
    // One waits for its time to run out; once is enough.
    if (i >= attempts.size() &&
        &attempts[i % attempts.size()] == &attempts.back()) {
      continue;
    }
    // Ports differ.
    ++answers[name][std::regex_replace(
        attempt(), std::regex("[0-9.]+:[0-9]{4,5}"), "HOST:PORT")];
    held.Trickle();
    absl::SleepFor(absl::Milliseconds(5));
  }
  for (const auto& [name, said] : answers) {
    for (const auto& [answer, times] : said) {
      std::printf("%s, %d times: %s\n", name.c_str(), times, answer.c_str());
    }
  }
}

}  // namespace
}  // namespace terse

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: hostile_client HOST:PORT SECONDS\n");
    return 2;
  }
  terse::Attack(argv[1], absl::Seconds(std::atoi(argv[2])));
  return 0;
}
