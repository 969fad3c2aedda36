// nbit/io/gguf.hpp — GGUF files: gguf::open and gguf::parse to read, gguf::writer to write.
// SPDX-License-Identifier: MIT
#ifndef NBIT_IO_GGUF_HPP
#define NBIT_IO_GGUF_HPP

#include <nbit/io/gguf_file.hpp>
#include <nbit/io/gguf_reader.hpp>
#include <nbit/io/gguf_value.hpp>
#include <nbit/io/gguf_writer.hpp>

#endif
