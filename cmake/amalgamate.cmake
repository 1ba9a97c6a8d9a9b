# SPDX-License-Identifier: Apache-2.0
# Writes one header that holds the umbrella header and everything it includes.
#
#   cmake -D INCLUDE=<dir of xmoe/> -D OUTPUT=<file> -P amalgamate.cmake
#
# Each header is written once, where it is first needed, so the order of definitions stays legal.
# Only `#include <xmoe/...>` is replaced; lines are otherwise copied as they are.
cmake_minimum_required(VERSION 3.25)
if(NOT INCLUDE OR NOT OUTPUT)
  message(FATAL_ERROR "usage: cmake -D INCLUDE=dir -D OUTPUT=file -P amalgamate.cmake")
endif()

set(marker "#include <xmoe/")
set(seen "")
set(text "")

# Appends `header` to `text`, its own includes first. Works on positions in the text, not on CMake
# lists: semicolons and brackets of C++ would otherwise be taken for list syntax.
function(expand header)
  if(header IN_LIST seen)
    return()
  endif()
  list(APPEND seen "${header}")
  if(NOT EXISTS "${INCLUDE}/${header}")
    message(FATAL_ERROR "${header}: no such header below ${INCLUDE}")
  endif()
  file(READ "${INCLUDE}/${header}" rest)
  string(REPLACE "// SPDX-License-Identifier: Apache-2.0\n" "" rest "${rest}")
  string(REPLACE "#pragma once\n" "" rest "${rest}")
  string(APPEND text "\n// ---- ${header}\n")
  while(TRUE)
    string(FIND "${rest}" "${marker}" start)
    if(start EQUAL -1)
      break()
    endif()
    string(SUBSTRING "${rest}" 0 ${start} before)
    string(APPEND text "${before}")
    math(EXPR start "${start} + 10")  # length of `#include <`
    string(SUBSTRING "${rest}" ${start} -1 rest)
    string(FIND "${rest}" ">" end)
    string(SUBSTRING "${rest}" 0 ${end} inner)
    math(EXPR end "${end} + 1")
    string(SUBSTRING "${rest}" ${end} -1 rest)
    string(FIND "${rest}" "\n" line_end)
    math(EXPR line_end "${line_end} + 1")
    string(SUBSTRING "${rest}" ${line_end} -1 rest)
    expand("${inner}")
  endwhile()
  string(APPEND text "${rest}")
  set(seen "${seen}" PARENT_SCOPE)
  set(text "${text}" PARENT_SCOPE)
endfunction()

if(NOT START)
  set(START xmoe/xmoe.hpp)
endif()
string(APPEND text "// SPDX-License-Identifier: Apache-2.0\n"
  "// Made by cmake/amalgamate.cmake from the headers of xmoe; change those, not this file.\n"
  "#pragma once\n")
expand("${START}")
file(WRITE "${OUTPUT}" "${text}")
list(LENGTH seen count)
message(STATUS "${OUTPUT}: ${count} headers")
