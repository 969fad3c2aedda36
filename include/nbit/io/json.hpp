// nbit/io/json.hpp — JSON: json_parse to read, json_value to hold and change, json_text to write.
// SPDX-License-Identifier: MIT
#ifndef NBIT_IO_JSON_HPP
#define NBIT_IO_JSON_HPP

#include <nbit/io/json_reader.hpp>
#include <nbit/io/json_value.hpp>
#include <nbit/io/json_writer.hpp>

#endif
