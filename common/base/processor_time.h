// The processor time that this process has taken.
#ifndef TERSE_COMMON_BASE_PROCESSOR_TIME_H_
#define TERSE_COMMON_BASE_PROCESSOR_TIME_H_

namespace terse {

// In seconds, of all its threads, in user and system mode.
double ProcessorSeconds();

}  // namespace terse

#endif  // TERSE_COMMON_BASE_PROCESSOR_TIME_H_
