# SPDX-License-Identifier: Apache-2.0
# One compile-fail case. The file must compile; with XMOE_BAD it must not, and the compiler's text
# must match every `// expect: regex` at its head. No more than `// errors: N` (default 2)
# errors may be given, of no more than 30 lines each.
#
#   cmake -D COMPILER=g++ -D SOURCE=case.cpp -D INCLUDES=dir;dir -P run.cmake
cmake_minimum_required(VERSION 3.25)

set(command ${COMPILER} -std=c++20 -fsyntax-only -fdiagnostics-color=never)
foreach(dir IN LISTS INCLUDES)
  list(APPEND command -isystem ${dir})
endforeach()

file(STRINGS ${SOURCE} expectations REGEX "^// expect: ")
file(STRINGS ${SOURCE} limit REGEX "^// errors: ")
if(NOT expectations)
  message(FATAL_ERROR "${SOURCE}: no `// expect: regex` line")
endif()
string(REGEX REPLACE "^// errors: " "" limit "${limit}")
if(limit STREQUAL "")
  set(limit 2)
endif()

execute_process(COMMAND ${command} ${SOURCE} RESULT_VARIABLE failed ERROR_VARIABLE text)
if(failed)
  message(FATAL_ERROR "the good branch does not compile:\n${text}")
endif()

execute_process(COMMAND ${command} -DXMOE_BAD ${SOURCE} RESULT_VARIABLE failed ERROR_VARIABLE text)
if(NOT failed)
  message(FATAL_ERROR "the bad branch compiles")
endif()
foreach(expectation IN LISTS expectations)
  string(REGEX REPLACE "^// expect: " "" expectation "${expectation}")
  if(NOT text MATCHES "${expectation}")
    message(FATAL_ERROR "the compiler's text does not match `${expectation}`:\n${text}")
  endif()
endforeach()

string(REGEX MATCHALL "error: " errors "${text}")
list(LENGTH errors count)
string(REGEX MATCHALL "\n" lines "${text}")
list(LENGTH lines length)
if(count GREATER limit)
  message(FATAL_ERROR "${count} errors for one mistake, at most ${limit} allowed:\n${text}")
endif()
math(EXPR most "30 * ${count}")
if(length GREATER most)
  message(FATAL_ERROR "${length} lines for ${count} error(s):\n${text}")
endif()
message(STATUS "refused as expected: ${count} error(s), ${length} lines")
