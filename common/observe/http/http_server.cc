#include "common/observe/http/http_server.h"

#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "httplib.h"

namespace terse {
namespace {

// A page that polls holds no thread between its requests.
constexpr size_t kThreads = 3;
constexpr size_t kRequestBytesMax = 1 << 16;

constexpr char kCookie[] = "terse_token=";

struct HostPort {
  std::string host;
  int port = 0;
};

// "0.0.0.0:9100", "[::]:9100".
absl::StatusOr<HostPort> ParseAddress(const std::string& address) {
  const size_t colon = address.rfind(':');
  HostPort result;
  if (colon != std::string::npos &&
      absl::SimpleAtoi(address.substr(colon + 1), &result.port) &&
      result.port >= 0 && result.port <= 65535 && colon > 0) {
    result.host = address.substr(0, colon);
    if (result.host.size() > 2 && result.host.front() == '[') {
      result.host = result.host.substr(1, result.host.size() - 2);
    }
    return result;
  }
  return WithExitCode(
      absl::InvalidArgumentError(absl::StrCat(
          address, " is no address: write HOST:PORT, port 0 for any")),
      ExitCode::kBadCommandLine);
}

// Time does not tell how far a wrong token is right.
bool SameSecret(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  unsigned difference = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    difference |= static_cast<unsigned char>(a[i] ^ b[i]);
  }
  return difference == 0;
}

// A page elsewhere could have its own name resolve to loopback: the name in the
// request must be one of loopback's.
bool IsLocal(const httplib::Request& request) {
  const std::string& peer = request.remote_addr;
  if (!peer.starts_with("127.") && peer != "::1" &&
      !peer.starts_with("::ffff:127.")) {
    return false;
  }
  std::string host = request.get_header_value("Host");
  if (const size_t colon = host.rfind(':');
      colon != std::string::npos &&
      host.find(']', colon) == std::string::npos) {
    host.resize(colon);
  }
  return host == "localhost" || host == "127.0.0.1" || host == "[::1]";
}

std::string CookieToken(const httplib::Request& request) {
  const std::string cookies = request.get_header_value("Cookie");
  const size_t start = cookies.find(kCookie);
  if (start == std::string::npos) return "";
  const size_t begin = start + std::strlen(kCookie);
  return cookies.substr(begin, cookies.find(';', begin) - begin);
}

}  // namespace

class HttpServer::Impl {
 public:
  explicit Impl(HttpServerOptions options) : options_(std::move(options)) {}
  ~Impl() {
    server_.stop();
    if (thread_.joinable()) thread_.join();
  }

  absl::Status Start() {
    auto parsed = ParseAddress(options_.listen);
    if (!parsed.ok()) return parsed.status();
    server_.new_task_queue = [] { return new httplib::ThreadPool(kThreads); };
    server_.set_payload_max_length(kRequestBytesMax);
    server_.set_keep_alive_max_count(1000);
    server_.set_keep_alive_timeout(2);
    server_.set_default_headers({{"X-Content-Type-Options", "nosniff"},
                                 {"Referrer-Policy", "no-referrer"}});
    // No second process takes over the port unseen.
    server_.set_socket_options([](socket_t socket) {
      const int yes = 1;
      setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    });
    AddRoutes();
    const int port = parsed->port == 0 ? server_.bind_to_any_port(parsed->host)
                     : server_.bind_to_port(parsed->host, parsed->port)
                         ? parsed->port
                         : -1;
    if (port <= 0) {
      return WithExitCode(
          absl::UnavailableError(
              absl::StrCat("cannot listen on ", options_.listen, ": ",
                           strerror(errno), "; give --http another address")),
          ExitCode::kPeerNeverCame);
    }
    const bool v6 = parsed->host.find(':') != std::string::npos;
    address_ =
        absl::StrCat(v6 ? "[" : "", parsed->host, v6 ? "]" : "", ":", port);
    thread_ = std::thread([this] { server_.listen_after_bind(); });
    // Before that stop() would not be heard.
    while (!server_.is_running()) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return absl::OkStatus();
  }

  const std::string& address() const { return address_; }

 private:
  using Request = httplib::Request;
  using Response = httplib::Response;

  bool Allowed(const Request& request) const {
    if (IsLocal(request)) return true;
    if (options_.token.empty()) return false;
    const std::string bearer = request.get_header_value("Authorization");
    if (bearer.starts_with("Bearer ") &&
        SameSecret(bearer.substr(7), options_.token)) {
      return true;
    }
    return SameSecret(CookieToken(request), options_.token);
  }

  void AddRoutes() {
    const auto well = [](const Request&, Response& response) {
      response.set_content("ok\n", "text/plain");
    };
    server_.Get("/healthz", well);
    server_.Get("/readyz", well);
    server_.Get("/metrics", [this](const Request&, Response& response) {
      response.set_content(options_.metrics(),
                           "text/plain; version=0.0.4; charset=utf-8");
    });
    if (!options_.status) return;
    server_.Get("/", [this](const Request& request, Response& response) {
      ServePage(request, response);
    });
    server_.Get("/api/status",
                [this](const Request& request, Response& response) {
                  ServeStatus(request, response);
                });
  }

  static void Refuse(Response& response) {
    response.status = 401;
    response.set_header("WWW-Authenticate", "Bearer");
    response.set_content(
        "The page of this job asks for the job's token: open /?token=TOKEN, or "
        "send Authorization: Bearer TOKEN.\n",
        "text/plain");
  }

  void ServePage(const Request& request, Response& response) const {
    if (request.has_param("token") && !options_.token.empty() &&
        SameSecret(request.get_param_value("token"), options_.token)) {
      // Out of the address, where it would stay in histories.
      response.set_header("Set-Cookie",
                          absl::StrCat(kCookie, options_.token,
                                       "; HttpOnly; SameSite=Strict; Path=/"));
      response.set_redirect("/");
      return;
    }
    if (!Allowed(request)) return Refuse(response);
    response.set_header("Content-Security-Policy",
                        "default-src 'self' 'unsafe-inline'; img-src data:");
    response.set_content(options_.page.data(), options_.page.size(),
                         "text/html; charset=utf-8");
  }

  void ServeStatus(const Request& request, Response& response) const {
    if (!Allowed(request)) return Refuse(response);
    StatusQuery query;
    if (!absl::SimpleAtod(request.get_param_value("after"),
                          &query.after_seconds)) {
      query.after_seconds = -1;
    }
    if (!absl::SimpleAtoi(request.get_param_value("observed"),
                          &query.observed_step)) {
      query.observed_step = -1;
    }
    response.set_header("Cache-Control", "no-store");
    response.set_content(options_.status(query), "application/json");
  }

  const HttpServerOptions options_;
  httplib::Server server_;
  std::thread thread_;
  std::string address_;
};

HttpServer::HttpServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
HttpServer::~HttpServer() = default;
const std::string& HttpServer::address() const { return impl_->address(); }

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Start(
    HttpServerOptions options) {
  auto impl = std::make_unique<Impl>(std::move(options));
  TERSE_RETURN_IF_ERROR(impl->Start());
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(impl)));
}

absl::StatusOr<std::string> HttpGet(const std::string& address,
                                    const std::string& path,
                                    const std::string& token) {
  TERSE_ASSIGN_OR_RETURN(const HostPort target, ParseAddress(address));
  httplib::Client client(target.host, target.port);
  client.set_connection_timeout(5);
  client.set_read_timeout(10);
  httplib::Headers headers;
  if (!token.empty()) headers.emplace("Authorization", "Bearer " + token);
  const httplib::Result result = client.Get(path, headers);
  if (!result) {
    return WithExitCode(absl::UnavailableError(absl::StrCat(
                            "nobody answers at http://", address, ": ",
                            httplib::to_string(result.error()))),
                        ExitCode::kPeerNeverCame);
  }
  if (result->status == 401) {
    return WithExitCode(
        absl::PermissionDeniedError(
            absl::StrCat("http://", address,
                         " asks for the job's token: set TERSE_TOKEN to it")),
        ExitCode::kNotAllowed);
  }
  if (result->status != 200) {
    return WithExitCode(
        absl::NotFoundError(absl::StrCat("http://", address, path, " answers ",
                                         result->status)),
        ExitCode::kInputMissing);
  }
  return result->body;
}

}  // namespace terse
