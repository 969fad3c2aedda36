// tests/support/main.cpp — runs the cases, always says how many, and fails a case that breaks a precondition unawares.
// SPDX-License-Identifier: MIT
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <thread>

#include <catch2/catch_session.hpp>
#include <catch2/catch_test_case_info.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/reporters/catch_reporter_event_listener.hpp>
#include <catch2/reporters/catch_reporter_registrars.hpp>

#include <nbit/base/contract.hpp>

namespace {

std::thread::id main_thread;
std::atomic<int> broken_elsewhere{0};

// Catch2's assertions belong to the main thread; a violation on another thread is counted and fails the whole run.
void fail_on_broken_contract(const nbit::contract_violation& v) {
  if (std::this_thread::get_id() == main_thread) {
    const bool precondition_holds = false;
    UNSCOPED_INFO("expected: " << v.expected << " (" << v.file << ":" << v.line << ")");
    CHECK(precondition_holds);
  } else {
    broken_elsewhere.fetch_add(1);
    std::fprintf(stderr, "precondition broken on another thread: %s (%s:%d)\n", v.expected, v.file, v.line);
  }
}

class summary : public Catch::EventListenerBase {
 public:
  using EventListenerBase::EventListenerBase;

  void testCaseStarting(const Catch::TestCaseInfo&) override { nbit::set_contract_hook(&fail_on_broken_contract); }
  void testCaseEnded(const Catch::TestCaseStats&) override { nbit::set_contract_hook(nullptr); }

  // One line for tests/run.sh, whatever reporter was asked for.
  void testRunEnded(const Catch::TestRunStats& stats) override {
    const Catch::Counts& cases = stats.totals.testCases;
    const Catch::Counts& checks = stats.totals.assertions;
    std::fflush(stdout);
    std::fprintf(stderr, "count: %s: %llu cases, %llu assertions, %llu failed, %llu skipped\n",
                 std::string(stats.runInfo.name).c_str(), static_cast<unsigned long long>(cases.total()),
                 static_cast<unsigned long long>(checks.total()), static_cast<unsigned long long>(cases.failed),
                 static_cast<unsigned long long>(cases.skipped));
  }
};

}  // namespace

CATCH_REGISTER_LISTENER(summary)

int main(int argc, char** argv) {
  main_thread = std::this_thread::get_id();
  Catch::Session session;
  const int answer = session.run(argc, argv);
  return answer == 0 && broken_elsewhere.load() != 0 ? 1 : answer;
}
