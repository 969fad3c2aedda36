// tests/rejected/buffer_of_strings.cpp — a buffer refuses elements that need constructors, and says what to use.
// SPDX-License-Identifier: MIT
// expect: nbit::buffer holds plain numbers and structs; use a container for others
#include <string>

#include <nbit/base/buffer.hpp>

#ifdef NBIT_REJECT
using element = std::string;
#else
using element = float;
#endif

std::size_t size_of_none() { return nbit::buffer<element>().size(); }
