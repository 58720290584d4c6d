// What gRPC puts in order, told to ThreadSanitizer. gRPC runs reactions on
// threads of its own, each behind the operation that it ends; the installed
// library is not instrumented, so how it does that is not seen, and all that
// two reactions touch would be reported. Nothing in other builds.
#ifndef TERSE_COMMON_TRANSPORT_GRPC_KNOWN_ORDER_H_
#define TERSE_COMMON_TRANSPORT_GRPC_KNOWN_ORDER_H_

#if defined(__SANITIZE_THREAD__)
#define TERSE_THREAD_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TERSE_THREAD_SANITIZER 1
#endif
#endif

#ifdef TERSE_THREAD_SANITIZER
#include <sanitizer/tsan_interface.h>
#endif

namespace terse {

// Something in an order of its own: what was done before HandOver is seen
// behind TakeOver. A member of what is handed over, which it never touches.
class KnownOrder {
 public:
#ifdef TERSE_THREAD_SANITIZER
  void HandOver() { __tsan_release(this); }
  void TakeOver() { __tsan_acquire(this); }
#else
  void HandOver() {}
  void TakeOver() {}
#endif
};

// Of one call of gRPC.
class KnownCallOrder {
 public:
  // The operations that a reaction ends may begin.
  void Begin() { begun_.HandOver(); }
  // The next read may begin.
  void BeginRead() { read_.HandOver(); }
  void TakeRead() { read_.TakeOver(); }
  // All reactions are behind us.
  void TakeEnd() {
    begun_.TakeOver();
    reacted_.TakeOver();
  }

  // The time of any reaction but the last.
  class Reaction {
   public:
    explicit Reaction(KnownCallOrder& order) : order_(order) {
      order_.begun_.TakeOver();
    }
    ~Reaction() { order_.reacted_.HandOver(); }
    Reaction(const Reaction&) = delete;
    Reaction& operator=(const Reaction&) = delete;

   private:
    KnownCallOrder& order_;
  };

 private:
  KnownOrder begun_;
  KnownOrder read_;
  KnownOrder reacted_;
};

}  // namespace terse

#endif  // TERSE_COMMON_TRANSPORT_GRPC_KNOWN_ORDER_H_
