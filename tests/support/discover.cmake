# SPDX-License-Identifier: Apache-2.0
# Asks a test program for its test cases and writes them down for ctest, one ctest case each.
#
#   cmake -D PROGRAM=... -D ROOM=... -D CATCH2_MAJOR=2|3 -D OUTPUT=file [-D EMULATOR=...]
#         -P discover.cmake
#
# EMULATOR runs programs of another processor. # Names may hold any character: what CMake would take for list syntax is masked while lines are
# told apart. A name that selects nothing fails, so no case can pass without having run.
cmake_minimum_required(VERSION 3.25)

if(CATCH2_MAJOR EQUAL 2)
  set(list_names --list-test-names-only)
  set(run_options "--warn NoTests")
  set(properties "")
else()
  set(list_names --list-tests --verbosity quiet)
  set(run_options "")
  set(properties "SKIP_RETURN_CODE 4")
endif()

# The names that match `spec`, as a list of masked names.
function(names_of spec result)
  execute_process(COMMAND ${EMULATOR} "${PROGRAM}" ${list_names} ${spec}
    OUTPUT_VARIABLE text ERROR_VARIABLE problem RESULT_VARIABLE code)
  if(NOT code MATCHES "^[0-9]+$")  # a number of tests, or the name of a signal
    message(FATAL_ERROR "${PROGRAM} does not list its tests: ${code}\n${text}${problem}")
  endif()
  string(REPLACE ";" "@semicolon@" text "${text}")
  string(REPLACE "[" "@open@" text "${text}")
  string(REPLACE "]" "@close@" text "${text}")
  string(REPLACE "\\" "@backslash@" text "${text}")
  string(REPLACE "\n" ";" text "${text}")
  list(FILTER text EXCLUDE REGEX "^$")
  set(${result} "${text}" PARENT_SCOPE)
endfunction()

names_of("" all)
names_of("[threads]" threaded)
if(NOT all)
  message(FATAL_ERROR "${PROGRAM} has no tests")
endif()

set(script "")
set(command "[==[${PROGRAM}]==]")
if(EMULATOR)
  string(PREPEND command "[==[${EMULATOR}]==] ")
endif()
foreach(masked IN LISTS all)
  set(labels "")
  if(masked IN_LIST threaded)
    set(labels " LABELS threads")
  endif()
  string(REPLACE "@semicolon@" ";" name "${masked}")
  string(REPLACE "@open@" "[" name "${name}")
  string(REPLACE "@close@" "]" name "${name}")
  string(REPLACE "@backslash@" "\\" name "${name}")
  # What Catch2 itself would take for more than a name.
  set(selector "${name}")
  foreach(char "\\" "," "[" "]" "\"")
    string(REPLACE "${char}" "\\${char}" selector "${selector}")
  endforeach()
  string(APPEND script
    "add_test([==[${ROOM}: ${name}]==] ${command} [==[${selector}]==] ${run_options})\n"
    "set_tests_properties([==[${ROOM}: ${name}]==] PROPERTIES TIMEOUT 600 ${properties}${labels})\n")
endforeach()
file(WRITE "${OUTPUT}" "${script}")
