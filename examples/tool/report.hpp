// tool/report.hpp — the demo's results as a table, as JSON and as one HTML page without anything from outside.
// SPDX-License-Identifier: MIT
#ifndef TOOL_REPORT_HPP
#define TOOL_REPORT_HPP

#include <cstdint>
#include <string>
#include <vector>

namespace tool {

/// One quantized model, measured from the file that was written.
struct demo_row {
  std::string file, solver, format;
  std::uint64_t bytes = 0;       // of the file with the weights
  double bpw = 0, file_bpw = 0;  // of the quantized matrices; of everything in the file
  double ppl = 0, kl = 0, top1 = 0;
  double seconds = 0;              // to quantize and write
  std::vector<double> layer_loss;  // after each block: |h' - h|^2 / |h|^2
};

/// Facts that hold for all rows.
struct demo_facts {
  std::string model;
  std::size_t calibration_tokens = 0, predictions = 0, compared = 0;
  double total_seconds = 0;
};

std::string as_table(const std::vector<demo_row>& rows);
std::string as_json(const std::vector<demo_row>& rows);
std::string as_html(const std::vector<demo_row>& rows, const demo_facts& facts);

}  // namespace tool

#endif
