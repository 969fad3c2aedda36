// tool/output.cpp — the list of half-written things that a signal handler may remove.
// SPDX-License-Identifier: MIT
#include "output.hpp"

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <sys/stat.h>
#include <unistd.h>

#include "failure.hpp"

namespace tool {
namespace {

// A handler may only touch what is complete at any instant: fixed memory, marked used after it has been filled.
struct half_written {
  std::atomic<bool> used{false};
  char path[4096] = {};
};
constexpr int slots = 300;
half_written list[slots];
std::atomic<const char*> last_words{nullptr};

extern "C" void remove_and_exit(int signal) {
  for (half_written& h : list)
    if (h.used.load() && unlink(h.path) != 0) rmdir(h.path);  // files are listed after the folder that holds them:
  for (half_written& h : list)                                // a second round finds it empty
    if (h.used.load()) rmdir(h.path);
  const char* const said = last_words.load();
  const char* const text = said != nullptr ? said : "\nnbit: interrupted; nothing was left half written\n";
  if (write(STDERR_FILENO, text, std::strlen(text)) < 0) _exit(128 + signal);
  _exit(128 + signal);
}

/// Holds the signals back while something is created and put on the list.
class signals_held {
 public:
  signals_held() {
    sigset_t all;
    sigemptyset(&all);
    for (const int s : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&all, s);
    pthread_sigmask(SIG_BLOCK, &all, &before_);
  }
  ~signals_held() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_;
};

int remember(const std::string& path) {
  for (int i = 0; i < slots; ++i)
    if (!list[i].used.load() && path.size() < sizeof(list[i].path)) {
      std::memcpy(list[i].path, path.c_str(), path.size() + 1);
      list[i].used.store(true);
      return i;
    }
  return -1;
}
void forget_slot(int slot) {
  if (slot >= 0) list[slot].used.store(false);
}

[[noreturn]] void failed(const std::string& what, const std::string& path) {
  throw failure{io_failed, "'" + path + "': " + what + " (" + std::strerror(errno) + ")"};
}

}  // namespace

void catch_signals() {
  struct sigaction action{};
  action.sa_handler = &remove_and_exit;
  sigfillset(&action.sa_mask);
  for (const int s : {SIGINT, SIGTERM, SIGHUP}) sigaction(s, &action, nullptr);
  std::signal(SIGPIPE, SIG_DFL);
}

void say_when_interrupted(const char* text) { last_words.store(text); }

output_file::output_file(const std::string& path) {
  const signals_held held;
  file_ = need(nbit::atomic_file::create(path), "writing " + path);
  slot_ = remember(file_.temporary_name());
}
output_file::~output_file() {
  const signals_held held;
  file_.discard();
  forget_slot(slot_);
}
nbit::result<void> output_file::commit() {
  const signals_held held;
  auto done = file_.commit();
  forget_slot(slot_);
  slot_ = -1;
  return done;
}

output_folder::output_folder(const std::string& path) : target_(path) {
  while (target_.size() > 1 && target_.back() == '/') target_.pop_back();
  struct stat facts{};
  if (stat(target_.c_str(), &facts) == 0)
    throw failure{wrong_usage, "--output: '" + target_ + "' exists; allowed: a folder that does not exist yet"};
  temporary_ = target_ + "." + std::to_string(getpid()) + ".part";
  const signals_held held;
  if (mkdir(temporary_.c_str(), 0777) != 0) failed("the folder cannot be created", temporary_);
  slots_[used_++] = remember(temporary_);
}
output_folder::~output_folder() {
  if (temporary_.empty()) return;
  const signals_held held;
  std::error_code ignored;
  std::filesystem::remove_all(temporary_, ignored);
  forget();
}
std::string output_folder::inside(const std::string& name) {
  const std::string path = temporary_ + "/" + name;
  if (used_ == static_cast<int>(std::size(slots_)))
    throw failure{wrong_usage, "--output: more than " + std::to_string(used_ - 1) + " files; allowed: larger parts"};
  slots_[used_++] = remember(path);
  return path;
}
void output_folder::commit() {
  const signals_held held;
  if (std::rename(temporary_.c_str(), target_.c_str()) != 0) failed("the folder cannot be renamed", target_);
  temporary_.clear();
  forget();
}
void output_folder::forget() {
  while (used_ > 0) forget_slot(slots_[--used_]);
}

void write_text(const std::string& path, std::string_view text) {
  output_file file(path);
  need(file.write(std::as_bytes(std::span(text.data(), text.size()))), "writing " + path);
  need(file.commit(), "writing " + path);
}

}  // namespace tool
