#ifndef TERSE_COMMON_OBSERVE_REVISION_H_
#define TERSE_COMMON_OBSERVE_REVISION_H_

namespace terse {

// The commit this was built from, "-dirty" behind it if something was changed;
// "unknown" where there was no git. cmake/revision.cmake writes it.
extern const char kRevision[];

}  // namespace terse

#endif  // TERSE_COMMON_OBSERVE_REVISION_H_
