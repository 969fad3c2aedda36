// tests/tables/transcoding.cpp — tries every pair of formats and prints docs/transcoding.md's table.
//
// Each source is a tensor of its own: random codes at the full range under fitted parameters; then codes that keep to
// -1, 0 and 1 steps; then one set of parameters for a whole row; then both. A cell says what transcode answered.
// SPDX-License-Identifier: MIT
#include <cstdint>
#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include <nbit/tensor/transcode.hpp>

#include "support/random.hpp"
#include "tables/formats.hpp"

namespace {

constexpr std::size_t rows = 6, cols = 512;

/// A described tensor: transcode sees no more of its source than this.
struct tensor {
  std::vector<float> value = std::vector<float>(rows * cols), step = value, base = value;
};
struct source {
  const char* name;
  float gap;
  tensor plain, middle, shared, both;
};

template <class F>
tensor describe(bool middle, bool shared) {
  nbit_test::random numbers(1);
  auto q = nbit::coded_matrix<F>::make({rows, cols});
  const std::size_t length = nbit::group_length<F>(cols), groups = nbit::groups_per_row<F>(cols);
  tensor t;
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t g = 0; g < groups; ++g) {
      std::vector<float> w = numbers.normals(length, numbers.uniform(0.01f, 0.1f)), ones(length, 1.0f);
      for (float& v : w) v += 0.004f;
      auto& p = q->params[q->params_index(r, g)];
      p = shared && g > 0 ? q->params[q->params_index(r, 0)] : F::fit(w, ones);
      for (std::size_t i = 0; i < length; ++i) {
        const int at = static_cast<int>(i);
        std::vector<int> allowed;
        float least = 3e38f, step = 0;
        int nearest = 0;
        if constexpr (nbit::integer_format<F>)
          step = F::scale(p, F::run > 0 ? at / (F::run > 0 ? F::run : 1) : 0);
        else
          step = float(p.scale);
        for (int c = 0; c < 1 << F::bits; ++c) {
          const float v = nbit::abs(F::value(c, p, at));
          if (!(v <= 3e38f)) continue;  // the codes of NaN
          if (v < least) least = v, nearest = c;
          if (!middle || v <= nbit::abs(step) * 1.01f) allowed.push_back(c);
        }
        q->row_codes(r)[g * length + i] =
            static_cast<nbit::code_t<F>>(allowed.empty() ? nearest : allowed[numbers.below(allowed.size())]);
      }
    }
    const auto row = [r](std::vector<float>& v) { return std::span<float>(v).subspan(r * cols, cols); };
    nbit::detail::describe_row<F>(*q, r, row(t.value), row(t.step), row(t.base));
  }
  return t;
}

/// What becomes of a tensor in To.
template <class To>
nbit::transcode_report become(const tensor& t, float gap) {
  nbit::transcode_report report;
  auto to = nbit::coded_matrix<To>::make({rows, cols});
  for (std::size_t r = 0; r < rows; ++r) {
    const auto row = [r](const std::vector<float>& v) { return std::span<const float>(v).subspan(r * cols, cols); };
    nbit::detail::place_row<To>({row(t.value), row(t.step), row(t.base), gap}, r, *to, report);
  }
  const nbit::transcode_options usual;
  report.kind = report.changed == 0                              ? nbit::fidelity::exact
                : report.worst_steps <= double(usual.most_steps) ? nbit::fidelity::rounded
                                                                 : nbit::fidelity::refused;
  return report;
}

struct cell {
  char kind = '.';
  double worst = 0;
};
template <class To>
cell judge(const source& s) {
  const nbit::transcode_report plain = become<To>(s.plain, s.gap);
  if (plain.kind == nbit::fidelity::exact) return {'=', 0};
  if (plain.kind == nbit::fidelity::rounded) return {'~', plain.worst_steps};
  if (become<To>(s.middle, s.gap).kind != nbit::fidelity::refused) return {'c', 0};
  if (become<To>(s.shared, s.gap).kind != nbit::fidelity::refused) return {'s', 0};
  if (become<To>(s.both, s.gap).kind != nbit::fidelity::refused) return {'b', 0};
  return {'.', 0};
}

}  // namespace

int main() {
  std::vector<source> sources;
  tables::for_each_grid([&]<class F>(tables::named<F> n) {
    sources.push_back({n.name, nbit::detail::level_gap<F>(), describe<F>(false, false), describe<F>(true, false),
                       describe<F>(false, true), describe<F>(true, true)});
  });
  std::vector<std::vector<cell>> table(sources.size());
  std::map<std::string, double> near;  // by target: the farthest that a number moves, in steps
  tables::for_each_grid([&]<class F>(tables::named<F> n) {
    for (std::size_t s = 0; s < sources.size(); ++s) {
      table[s].push_back(judge<F>(sources[s]));
      const cell& last = table[s].back();
      if (last.kind == '~') near[n.name] = last.worst > near[n.name] ? last.worst : near[n.name];
    }
  });
  std::printf("```text\n%-31s", "");
  for (std::size_t c = 0; c < sources.size(); ++c)
    std::printf("%c ", c < 9 ? ' ' : static_cast<char>('0' + (c + 1) / 10));
  std::printf("\n%-31s", "from (rows), to (columns)");
  for (std::size_t c = 0; c < sources.size(); ++c) std::printf("%c ", static_cast<char>('0' + (c + 1) % 10));
  std::printf("\n");
  std::size_t counts[4] = {};
  for (std::size_t s = 0; s < sources.size(); ++s) {
    std::printf("%2zu %-28s", s + 1, sources[s].name);
    for (const cell& c : table[s]) {
      std::printf("%c ", c.kind);
      ++counts[c.kind == '=' ? 0 : c.kind == '~' ? 1 : c.kind == '.' ? 3 : 2];
    }
    std::printf("\n");
  }
  std::printf("```\n\n%zu pairs: %zu exact, %zu near, %zu by their numbers, %zu never.\n\n",
              sources.size() * sources.size(), counts[0], counts[1], counts[2], counts[3]);
  std::printf("| near, into | moves by at most, in steps |\n|---|---|\n");
  for (const auto& [name, worst] : near) std::printf("| %s | %.4f |\n", name.c_str(), worst);
}
