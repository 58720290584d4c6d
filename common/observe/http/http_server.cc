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

// A connection that failed leaves its errors with the thread, and OpenSSL would
// take them for those of the next one.
class Threads final : public httplib::TaskQueue {
 public:
  void enqueue(std::function<void()> work) override {
    pool_.enqueue([work = std::move(work)] {
      ERR_clear_error();
      work();
    });
  }
  void shutdown() override { pool_.shutdown(); }

 private:
  httplib::ThreadPool pool_{kThreads};
};

// Called at every handshake: a certificate that was renewed is shown from then
// on.
int UseCertificate(SSL* ssl, void* folder) {
  const std::string& directory = *static_cast<const std::string*>(folder);
  return SSL_use_certificate_chain_file(
             ssl, (directory + "/tls.crt").c_str()) == 1 &&
         SSL_use_PrivateKey_file(ssl, (directory + "/tls.key").c_str(),
                                 SSL_FILETYPE_PEM) == 1;
}

// `tls_directory` must outlive the server.
std::unique_ptr<httplib::Server> MakeServer(const std::string& tls_directory) {
  if (tls_directory.empty()) return std::make_unique<httplib::Server>();
  return std::make_unique<httplib::SSLServer>([&tls_directory](SSL_CTX& tls) {
    SSL_CTX_set_min_proto_version(&tls, TLS1_2_VERSION);
    SSL_CTX_set_cert_cb(&tls, UseCertificate,
                        const_cast<std::string*>(&tls_directory));
    return true;
  });
}

std::string Url(const std::string& address, const TransportSecurity& security) {
  return absl::StrCat(security.tls_directory.empty() ? "http://" : "https://",
                      address);
}

httplib::Result Get(const HostPort& target, const std::string& path,
                    const httplib::Headers& headers,
                    const TransportSecurity& security) {
  const auto get = [&](auto& client) {
    client.set_connection_timeout(5);
    client.set_read_timeout(10);
    return client.Get(path, headers);
  };
  if (security.tls_directory.empty()) {
    httplib::ClientImpl client(target.host, target.port);
    return get(client);
  }
  ERR_clear_error();  // As in Threads.
  httplib::SSLClient client(target.host, target.port);
  // That of httplib is of the name, too; the handshake's own is of the chain.
  client.enable_server_certificate_verification(false);
  SSL_CTX* const tls = client.ssl_context();
  SSL_CTX_load_verify_locations(
      tls, (security.tls_directory + "/ca.crt").c_str(), nullptr);
  SSL_CTX_set_verify(tls, SSL_VERIFY_PEER, nullptr);
  return get(client);
}

}  // namespace

class HttpServer::Impl {
 public:
  explicit Impl(HttpServerOptions options)
      : options_(std::move(options)),
        server_(MakeServer(options_.security.tls_directory)) {}
  ~Impl() {
    server_->stop();
    if (thread_.joinable()) thread_.join();
  }

  absl::Status Start() {
    auto parsed = ParseAddress(options_.listen);
    if (!parsed.ok()) return parsed.status();
    TERSE_RETURN_IF_ERROR(CheckTlsFiles(options_.security.tls_directory));
    TERSE_RETURN_IF_ERROR(CheckSecurity(options_.security, options_.listen));
    server_->new_task_queue = [] { return new Threads; };
    server_->set_payload_max_length(kRequestBytesMax);
    server_->set_keep_alive_max_count(1000);
    server_->set_keep_alive_timeout(2);
    server_->set_default_headers({{"X-Content-Type-Options", "nosniff"},
                                  {"Referrer-Policy", "no-referrer"}});
    // No second process takes over the port unseen.
    server_->set_socket_options([](socket_t socket) {
      const int yes = 1;
      setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    });
    AddRoutes();
    const int port = parsed->port == 0 ? server_->bind_to_any_port(parsed->host)
                     : server_->bind_to_port(parsed->host, parsed->port)
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
    thread_ = std::thread([this] { server_->listen_after_bind(); });
    // Before that stop() would not be heard.
    while (!server_->is_running()) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return absl::OkStatus();
  }

  void AwaitScrape(absl::Duration at_most, const std::atomic<int>& stop) {
    const uint64_t wait = ++waits_;
    const auto begin = std::chrono::steady_clock::now();
    while (scraped_.load() < wait && stop.load() == 0 &&
           absl::FromChrono(std::chrono::steady_clock::now() - begin) <
               at_most) {
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
  }

  const std::string& address() const { return address_; }
  std::string url() const { return Url(address_, options_.security); }

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
    server_->Get("/healthz", well);
    server_->Get("/readyz", well);
    server_->Get("/metrics", [this](const Request&, Response& response) {
      const uint64_t waits = waits_.load();
      response.set_content(options_.metrics(),
                           "text/plain; version=0.0.4; charset=utf-8");
      scraped_.store(waits);
    });
    if (!options_.status) return;
    server_->Get("/", [this](const Request& request, Response& response) {
      ServePage(request, response);
    });
    server_->Get("/api/status",
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
      response.set_header(
          "Set-Cookie",
          absl::StrCat(
              kCookie, options_.token, "; HttpOnly; SameSite=Strict; Path=/",
              options_.security.tls_directory.empty() ? "" : "; Secure"));
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
  const std::unique_ptr<httplib::Server> server_;
  std::thread thread_;
  std::string address_;
  std::atomic<uint64_t> waits_ = 0;    // Calls of AwaitScrape.
  std::atomic<uint64_t> scraped_ = 0;  // How many had begun at a scrape.
};

HttpServer::HttpServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
HttpServer::~HttpServer() = default;
const std::string& HttpServer::address() const { return impl_->address(); }
std::string HttpServer::url() const { return impl_->url(); }
void HttpServer::AwaitScrape(absl::Duration at_most,
                             const std::atomic<int>& stop) {
  impl_->AwaitScrape(at_most, stop);
}

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Start(
    HttpServerOptions options) {
  auto impl = std::make_unique<Impl>(std::move(options));
  TERSE_RETURN_IF_ERROR(impl->Start());
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(impl)));
}

absl::StatusOr<std::string> HttpGet(const std::string& address,
                                    const std::string& path,
                                    const std::string& token,
                                    const TransportSecurity& security) {
  TERSE_ASSIGN_OR_RETURN(const HostPort target, ParseAddress(address));
  TERSE_RETURN_IF_ERROR(CheckTlsFiles(security.tls_directory));
  // The token must not be for others to read.
  if (!token.empty()) TERSE_RETURN_IF_ERROR(CheckSecurity(security, address));
  const std::string url = Url(address, security);
  httplib::Headers headers;
  if (!token.empty()) headers.emplace("Authorization", "Bearer " + token);
  const httplib::Result result = Get(target, path, headers, security);
  if (!result) {
    return WithExitCode(absl::UnavailableError(
                            absl::StrCat("nobody answers at ", url, ": ",
                                         httplib::to_string(result.error()))),
                        ExitCode::kPeerNeverCame);
  }
  if (result->status == 401) {
    return WithExitCode(
        absl::PermissionDeniedError(absl::StrCat(
            url, " asks for the job's token: set TERSE_TOKEN to it")),
        ExitCode::kNotAllowed);
  }
  if (result->status != 200) {
    return WithExitCode(absl::NotFoundError(absl::StrCat(url, path, " answers ",
                                                         result->status)),
                        ExitCode::kInputMissing);
  }
  return result->body;
}

}  // namespace terse
