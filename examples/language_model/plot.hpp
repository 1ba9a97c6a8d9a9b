// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "report.hpp"

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace lm {

/// Replaces every `from` in a text.
inline std::string replaced(std::string text, const std::string& from, const std::string& to) {
  for (std::size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size()) {
    text.replace(at, from.size(), to);
  }
  return text;
}

inline void write_file(const std::filesystem::path& path, const std::string& text) {
  std::ofstream file(path);
  file << text;
  file.close();
  if (!file) {
    throw user_error("cannot write '" + path.string() + "'");
  }
}

/// model, choice (threshold or number of experts), experts a token, work, quality.
inline std::string curve_csv(const std::vector<SweepPoint>& sweep) {
  std::ostringstream csv;
  csv << "model,choice,experts_per_token,r_use,perplexity,bits_per_character\n";
  for (const SweepPoint& p : sweep) {
    csv << name_of(p.kind) << ',' << p.choice << ',' << p.experts_per_token << ',' << p.r_use << ','
        << p.perplexity << ',' << p.bits_per_character << '\n';
  }
  return csv.str();
}

/// The part of the program for gnuplot that is the same for every run.
inline constexpr const char* drawing = R"(
set terminal svg size 900,600 font 'Helvetica,Arial,sans-serif,14' background '#ffffff' enhanced
set title title textcolor '#222222'
set lmargin 11
set border 3 linecolor '#999999'
set tics nomirror textcolor '#444444'
set grid linecolor '#e8e8e8' linetype 1
set logscale x 2
set xrange [0.1:4.4]
set yrange [low:high]
set xtics ('1/8' 0.125, '1/4' 0.25, '1/2' 0.5, '1' 1, '2' 2, '4' 4)
set xlabel 'routed expert work a token  (1 = one coarse expert)' textcolor '#444444'
set ylabel 'perplexity on held-out text  (lower is better)' textcolor '#444444' offset -1
set object 1 rectangle from graph 0, graph 0 to first 0.5, graph 1 \
  fillcolor '#eef6ee' fillstyle solid noborder behind
set arrow 1 from 0.5, graph 0 to 0.5, graph 1 nohead linecolor '#3c8d40' dashtype 2 linewidth 1.5
set label 1 'half the work' at 0.485, graph 0.965 right textcolor '#3c8d40' font ',13'
set arrow 2 from 0.1, coarse to 4.4, coarse nohead linecolor '#888888' dashtype 3
set bmargin 6.5
set key at screen 0.53, screen 0.055 center horizontal Left reverse samplen 2 \
  width 1 textcolor '#222222' font ',13'
plot \
  $control using 1:2 with linespoints linecolor '#e08e0b' linewidth 2 pointtype 5 pointsize 0.6 \
    title 'control: small experts, fixed k', \
  $fine using 1:2 with linespoints linecolor '#1f6fb2' linewidth 3 pointtype 7 pointsize 0.7 \
    title 'fine: small experts, threshold t', \
  $coarse using 1:2 with points linecolor '#444444' pointtype 13 pointsize 1.5 \
    title 'coarse: large experts, k=1', \
  $trained using 1:2 with points linecolor '#222222' linewidth 1.5 pointtype 6 pointsize 1.5 \
    title 'as trained', \
  $above using 1:2:3:4 with labels offset 0,1 font ',11' textcolor rgb variable notitle, \
  $below using 1:2:3:4 with labels offset 0,-1 font ',11' textcolor rgb variable notitle
)";

/// Quality of a kind's curve at some work, between its points; at its ends beyond them.
inline double perplexity_at(const std::vector<SweepPoint>& sweep, Kind kind, double r_use) {
  const SweepPoint* left = nullptr;
  for (const SweepPoint& p : sweep) {
    if (p.kind != kind) {
      continue;
    }
    if (p.r_use >= r_use) {
      if (left == nullptr) {
        return p.perplexity;
      }
      const double share = std::log(r_use / left->r_use) / std::log(p.r_use / left->r_use);
      return left->perplexity + share * (p.perplexity - left->perplexity);
    }
    left = &p;
  }
  return left == nullptr ? 0 : left->perplexity;
}

/// The program for gnuplot: quality against routed work.
inline std::string curve_script(const std::vector<SweepPoint>& sweep, const Settings& settings,
                                const std::string& svg) {
  std::ostringstream points[3], trained, above, below;
  double lowest = 1e300, highest = 0, coarse = 0;
  for (const SweepPoint& p : sweep) {
    const std::string place = short_number(p.r_use) + ' ' + short_number(p.perplexity);
    points[static_cast<int>(p.kind)] << place << '\n';
    lowest = std::min(lowest, p.perplexity);
    highest = std::max(highest, p.perplexity);
    if (p.kind == Kind::coarse) {
      coarse = p.perplexity;
      continue;
    }
    const bool is_fine = p.kind == Kind::fine;
    const Kind other = is_fine ? Kind::control : Kind::fine;
    const bool is_higher = p.perplexity > perplexity_at(sweep, other, p.r_use);
    (is_higher ? above : below) << place << (is_fine ? " t=" : " k=") << short_number(p.choice)
                                << (is_fine ? " 0x1f6fb2\n" : " 0xa8690a\n");
    if (p.choice == trained_choice(p.kind, settings)) {
      trained << place << '\n';
    }
  }
  // Points far above the coarse model are of no interest: they may leave the picture.
  const double room = std::max(coarse - lowest, 0.01 * lowest);
  std::ostringstream script;
  script << "# Draws curve.svg: gnuplot curve.gp\n";
  for (const Kind kind : all_kinds) {
    script << '$' << name_of(kind) << " << EOD\n"
           << points[static_cast<int>(kind)].str() << "EOD\n";
  }
  script << "$trained << EOD\n"
         << trained.str() << "EOD\n$above << EOD\n"
         << above.str() << "EOD\n$below << EOD\n"
         << below.str() << "EOD\n"
         << "set output '" << replaced(svg, "'", "''") << "'\n"
         << "low = " << lowest - 0.2 * room << "\n"
         << "high = " << std::min(highest, coarse + 0.6 * room) + 0.2 * room << "\n"
         << "coarse = " << coarse << "\n"
         << "title = \"Quality against the work of the MoE layers\\n{/*0.8 " << settings.steps
         << " steps of training; along a line only the choice of experts changes, afterwards}\"\n"
         << drawing;
  return script.str();
}

/// Writes curve.csv and curve.gp and lets gnuplot draw curve.svg; false if it does not.
inline bool write_curve(const std::filesystem::path& folder, const std::vector<SweepPoint>& sweep,
                        const Settings& settings) {
  const std::string script = (folder / "curve.gp").string();
  write_file(folder / "curve.csv", curve_csv(sweep));
  write_file(script, curve_script(sweep, settings, (folder / "curve.svg").string()));
  if (std::system("command -v gnuplot > /dev/null 2>&1") != 0) {
    std::printf("\ncurve.svg is not drawn: there is no gnuplot (Debian: gnuplot-nox).\n");
    return false;
  }
  if (std::system(("gnuplot '" + replaced(script, "'", "'\\''") + "'").c_str()) != 0) {
    std::printf("\ncurve.svg is not drawn: gnuplot failed on %s\n", script.c_str());
    return false;
  }
  return true;
}

}  // namespace lm
