#include <iostream>
#include <map>
#include <string>

int main() {
  std::map<std::string, int> counts;
  for (std::string word; std::cin >> word;) ++counts[word];
  for (const auto &[word, n] : counts) std::cout << word << ' ' << n << '\n';
  std::cout << counts.size() << " words\n";
}
