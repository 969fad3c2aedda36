// tool/report.cpp — plots as inline SVG, colours for light and dark screens.
// SPDX-License-Identifier: MIT
#include "report.hpp"

#include <algorithm>
#include <cmath>
#include <cstdarg>
#include <cstdio>
#include <functional>

#include <nbit/io/json.hpp>

namespace tool {
namespace {

std::string print(const char* format, ...) {
  va_list values, again;
  va_start(values, format);
  va_copy(again, values);
  const int n = std::vsnprintf(nullptr, 0, format, values);
  std::string text(static_cast<std::size_t>(n < 0 ? 0 : n) + 1, '\0');
  std::vsnprintf(text.data(), text.size(), format, again);
  va_end(again);
  va_end(values);
  text.pop_back();
  return text;
}

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '<')
      out += "&lt;";
    else if (c == '>')
      out += "&gt;";
    else if (c == '&')
      out += "&amp;";
    else if (c == '"')
      out += "&quot;";
    else
      out += c;
  }
  return out;
}

constexpr const char* style =
    "<style>\n"
    ":root{color-scheme:light dark;--ink:#1b1f24;--soft:#59636e;--line:#d1d9e0;--page:#fff;--card:#f6f8fa;"
    "--none:#59636e;--rtn:#c2410c;--search:#7c3aed;--gptq:#0369a1;--awq:#15803d}\n"
    "@media(prefers-color-scheme:dark){:root{--ink:#e6edf3;--soft:#9198a1;--line:#3d444d;--page:#0d1117;--card:#151b23;"
    "--none:#9198a1;--rtn:#fb923c;--search:#c4b5fd;--gptq:#7dd3fc;--awq:#86efac}}\n"
    "body{font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--page);margin:0 "
    "auto;max-width:60rem;padding:1.5rem}\n"
    "h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem}p{max-width:46rem}.soft{color:var(--soft)}\n"
    ".scroll{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums;white-space:nowrap}"
    "th,td{padding:.3rem .7rem;border-bottom:1px solid "
    "var(--line);text-align:right}th:nth-child(-n+3),td:nth-child(-n+3){text-align:left}\n"
    "svg{width:100%;height:auto;background:var(--card);border-radius:8px}svg text{fill:var(--ink);font:12px "
    "system-ui,sans-serif}"
    "svg .soft{fill:var(--soft)}svg .grid{stroke:var(--line);stroke-width:1}svg .rest{opacity:.35}\n"
    ".key{display:flex;flex-wrap:wrap;gap:1.2rem;margin:.5rem 0}.key "
    "span::before{content:'';display:inline-block;width:.8em;height:.8em;"
    "border-radius:50%;margin-right:.4em;background:var(--c)}\n"
    "</style>\n";

/// A plane with axes; y may be logarithmic.
class plot {
 public:
  plot(double x0, double x1, double y0, double y1, bool logarithmic, const char* x_name, const char* y_name,
       std::vector<double> x_ticks)
      : x0_(x0), x1_(x1), log_(logarithmic) {
    if (log_) y0 = std::log10(y0), y1 = std::log10(y1);
    const double margin = std::max(1e-9, 0.06 * (y1 - y0));
    y0_ = y0 - margin, y1_ = y1 + margin;
    body_ =
        print("<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"%s against %s\">\n", width, height, y_name, x_name);
    for (const double t : x_ticks) {
      body_ +=
          print("<line class=\"grid\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\"/>", x(t), x(t), top, height - bottom);
      body_ += print("<text class=\"soft\" text-anchor=\"middle\" x=\"%.1f\" y=\"%d\">%g</text>\n", x(t),
                     height - bottom + 18, t);
    }
    for (const double t : y_ticks()) {
      const double at = place_y(t);
      body_ += print("<line class=\"grid\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>", left, width - right, at, at);
      body_ += print("<text class=\"soft\" text-anchor=\"end\" x=\"%d\" y=\"%.1f\">%.4g</text>\n", left - 8, at + 4,
                     log_ ? std::pow(10.0, t) : t);
    }
    body_ += print("<text text-anchor=\"middle\" x=\"%d\" y=\"%d\">%s</text>", (left + width - right) / 2, height - 8,
                   x_name);
    body_ += print("<text x=\"%d\" y=\"18\">%s</text>\n", left, y_name);
  }

  double x(double v) const { return left + (v - x0_) / (x1_ - x0_) * (width - left - right); }
  double y(double v) const { return place_y(log_ ? std::log10(v) : v); }
  void add(const std::string& svg) { body_ += svg; }
  std::string text() const { return body_ + "</svg>\n"; }

 private:
  static constexpr int width = 760, height = 380, left = 70, right = 110, top = 30, bottom = 48;

  double place_y(double v) const { return height - bottom - (v - y0_) / (y1_ - y0_) * (height - top - bottom); }

  /// Round values: about five, or every 1, 2, 5 of a power of ten.
  std::vector<double> y_ticks() const {
    std::vector<double> ticks;
    if (log_) {
      for (int e = static_cast<int>(std::floor(y0_)); e <= static_cast<int>(std::ceil(y1_)); ++e)
        for (const double m : {1.0, 2.0, 5.0})
          if (const double t = e + std::log10(m); t >= y0_ && t <= y1_) ticks.push_back(t);
      return ticks;
    }
    const double rough = (y1_ - y0_) / 5, power = std::pow(10.0, std::floor(std::log10(rough)));
    const double step = power * (rough / power < 2 ? 1 : rough / power < 5 ? 2 : 5);
    for (double t = std::ceil(y0_ / step) * step; t <= y1_; t += step) ticks.push_back(t);
    return ticks;
  }

  double x0_, x1_, y0_, y1_;
  bool log_;
  std::string body_;
};

/// Every row as a point at its bits per weight.
std::string scatter(const std::vector<demo_row>& rows, const char* name, bool logarithmic,
                    const std::function<double(const demo_row&)>& value) {
  double low = 1e300, high = -1e300, widest = 3;
  std::vector<const demo_row*> shown;
  for (const demo_row& r : rows) {
    if (r.solver == "none" || (logarithmic && !(value(r) > 0)))
      continue;  // the unquantized model has no place on these axes
    shown.push_back(&r);
    low = std::min(low, value(r)), high = std::max(high, value(r)), widest = std::max(widest, r.bpw);
  }
  if (shown.empty()) return "";
  std::vector<double> ticks;
  for (double t = 2; t <= widest + 0.6; t += 1) ticks.push_back(t);
  plot p(2, widest + 0.6, low, high, logarithmic, "bits per weight of the quantized matrices, scales included", name,
         ticks);
  std::sort(shown.begin(), shown.end(), [&](const demo_row* a, const demo_row* b) { return value(*a) < value(*b); });
  std::vector<std::pair<double, double>> labels;
  for (const demo_row* r : shown) {
    const double x = p.x(r->bpw), y = p.y(value(*r));
    // Labels keep 13 units apart; those of checkpoint formats stand to the left, where no k-quant's label is.
    const bool left = r->format.front() == 'w';
    const double side = left ? x - 45 : x + 45;
    double at = y + 4;
    for (bool moved = true; moved;) {
      moved = false;
      for (const auto& [lx, ly] : labels)
        if (std::abs(lx - side) < 80 && std::abs(ly - at) < 13) at = ly - 13, moved = true;
    }
    labels.emplace_back(side, at);
    p.add(
        print("<circle cx=\"%.1f\" cy=\"%.1f\" r=\"5\" style=\"fill:var(--%s)\"><title>%s %s: %.5g at %.3f "
              "bits</title></circle>",
              x, y, r->solver.c_str(), r->solver.c_str(), escaped(r->format).c_str(), value(*r), r->bpw));
    p.add(print("<text text-anchor=\"%s\" x=\"%.1f\" y=\"%.1f\" style=\"fill:var(--%s)\">%s</text>\n",
                left ? "end" : "start", left ? x - 9 : x + 9, at, r->solver.c_str(), escaped(r->format).c_str()));
  }
  return p.text();
}

std::string layer_plot(const std::vector<demo_row>& rows) {
  double low = 1e300, high = 0;
  std::size_t layers = 0;
  for (const demo_row& r : rows)
    for (const double v : r.layer_loss)
      if (v > 1e-12) low = std::min(low, v), high = std::max(high, v), layers = std::max(layers, r.layer_loss.size());
  if (layers == 0) return "";
  std::vector<double> ticks;
  for (std::size_t b = 0; b < layers; b += std::max<std::size_t>(1, layers / 16))
    ticks.push_back(static_cast<double>(b));
  plot p(0, std::max(1.0, static_cast<double>(layers) - 1), low, high, true, "block",
         "relative squared error of the hidden states after each block", ticks);
  // From the lowest line up, so that a label only ever moves away from those below it.
  std::vector<demo_row> sorted = rows;
  std::sort(sorted.begin(), sorted.end(), [](const demo_row& a, const demo_row& b) {
    return (a.layer_loss.empty() ? 0.0 : a.layer_loss.back()) < (b.layer_loss.empty() ? 0.0 : b.layer_loss.back());
  });
  std::vector<double> labels;
  for (const demo_row& r : sorted) {
    std::string line;
    double x = 0, y = 0;
    for (std::size_t b = 0; b < r.layer_loss.size(); ++b) {
      if (!(r.layer_loss[b] > 1e-12)) continue;
      x = p.x(static_cast<double>(b)), y = p.y(r.layer_loss[b]);
      line += print("%s%.1f,%.1f", line.empty() ? "" : " ", x, y);
    }
    if (line.empty()) continue;
    double at = y + 4;
    for (bool moved = true; moved;) {
      moved = false;
      for (const double l : labels)
        if (std::abs(l - at) < 12) at = l - 12, moved = true;
    }
    labels.push_back(at);
    p.add("<polyline fill=\"none\" stroke-width=\"2\" style=\"stroke:var(--" + r.solver + ")\" points=\"" + line +
          "\"><title>" + r.solver + " " + escaped(r.format) + "</title></polyline>");
    p.add(print("<text x=\"%.1f\" y=\"%.1f\" style=\"fill:var(--%s);font-size:11px\">%s %s</text>\n", x + 6, at,
                r.solver.c_str(), r.solver.c_str(), escaped(r.format).c_str()));
  }
  return p.text();
}

}  // namespace

std::string as_table(const std::vector<demo_row>& rows) {
  std::string text = print("%-26s %-7s %-11s %9s %7s %7s %9s %9s %7s %8s\n", "file", "solver", "format", "bytes", "bpw",
                           "file", "ppl", "KL", "top-1", "seconds");
  for (const demo_row& r : rows)
    text += print("%-26s %-7s %-11s %9llu %7.3f %7.3f %9.4f %9.6f %7.4f %8.2f\n", r.file.c_str(), r.solver.c_str(),
                  r.format.c_str(), static_cast<unsigned long long>(r.bytes), r.bpw, r.file_bpw, r.ppl, r.kl, r.top1,
                  r.seconds);
  return text;
}

std::string as_json(const std::vector<demo_row>& rows) {
  using nbit::json_value;
  json_value list = json_value::array();
  for (const demo_row& r : rows) {
    json_value& j = list.push(json_value::object());
    j.add("file", json_value::string(r.file));
    j.add("solver", json_value::string(r.solver));
    j.add("format", json_value::string(r.format));
    j.add("bytes", json_value::number(r.bytes));
    j.add("bpw", json_value::number(r.bpw));
    j.add("ppl", json_value::number(r.ppl));
    j.add("kl", json_value::number(r.kl));
    j.add("seconds", json_value::number(r.seconds));
    j.add("file_bpw", json_value::number(r.file_bpw));
    j.add("top1", json_value::number(r.top1));
    json_value& loss = j.add("layer_loss", json_value::array());
    for (const double v : r.layer_loss) loss.push(json_value::number(v));
  }
  return nbit::json_text(list, 1) + "\n";
}

std::string as_html(const std::vector<demo_row>& rows, const demo_facts& facts) {
  std::string html =
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
      "content=\"width=device-width\">"
      "<title>nbit: one model, every solver</title>\n";
  html += style;
  html += "</head><body>\n<h1>One model, every solver</h1>\n";
  html += print(
      "<p>%s. The matrices of the blocks are quantized; embedding, output matrix and norms stay as they are. Each "
      "row was measured from "
      "the file that was just written. Perplexity over %zu predictions; KL divergence from the unquantized model "
      "and equal first "
      "choices over %zu. Calibration: %zu tokens. %.0f seconds in all.</p>\n",
      escaped(facts.model).c_str(), facts.predictions, facts.compared, facts.calibration_tokens, facts.total_seconds);
  html += "<div class=\"key\">";
  for (const auto& [name, what] : {std::pair{"rtn", "round to nearest"},
                                   {"search", "search with importance matrix"},
                                   {"gptq", "GPTQ"},
                                   {"awq", "AWQ"}})
    html += print("<span style=\"--c:var(--%s)\">%s</span>", name, what);
  html += "</div>\n<h2>Perplexity against size</h2>\n" +
          scatter(rows, "perplexity", false, [](const demo_row& r) { return r.ppl; });
  html +=
      "<h2>KL divergence against size</h2>\n<p class=\"soft\">Lower is better; the axis is logarithmic. Points "
      "above one another have the same bytes.</p>\n" +
      scatter(rows, "KL divergence, nats per token", true, [](const demo_row& r) { return r.kl; });
  html += "<h2>Loss per layer</h2>\n" + layer_plot(rows);
  html +=
      "<h2>All rows</h2>\n<div "
      "class=\"scroll\"><table><tr><th>file</th><th>solver</th><th>format</th><th>bytes</th><th>bits per weight</th>"
      "<th>of the whole file</th><th>perplexity</th><th>KL</th><th>top-1</th><th>seconds</th></tr>\n";
  for (const demo_row& r : rows)
    html += print(
        "<tr><td>%s</td><td>%s</td><td>%s</td><td>%llu</td><td>%.3f</td><td>%.3f</td>"
        "<td>%.4f</td><td>%.6f</td><td>%.4f</td><td>%.2f</td></tr>\n",
        escaped(r.file).c_str(), r.solver.c_str(), escaped(r.format).c_str(), static_cast<unsigned long long>(r.bytes),
        r.bpw, r.file_bpw, r.ppl, r.kl, r.top1, r.seconds);
  return html + "</table></div>\n</body></html>\n";
}

}  // namespace tool
