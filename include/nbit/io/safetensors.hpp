// nbit/io/safetensors.hpp — safetensors files: safetensors::open and parse to read, safetensors::writer to write.
// SPDX-License-Identifier: MIT
#ifndef NBIT_IO_SAFETENSORS_HPP
#define NBIT_IO_SAFETENSORS_HPP

#include <nbit/io/safetensors_dtype.hpp>
#include <nbit/io/safetensors_reader.hpp>
#include <nbit/io/safetensors_writer.hpp>

#endif
