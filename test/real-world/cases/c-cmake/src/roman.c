#include "roman.h"

#include <string.h>

int roman(int n, char *out) {
  static const struct {
    int value;
    const char *text;
  } steps[] = {{1000, "M"}, {900, "CM"}, {500, "D"}, {400, "CD"}, {100, "C"}, {90, "XC"}, {50, "L"},
               {40, "XL"},  {10, "X"},   {9, "IX"},  {5, "V"},    {4, "IV"},  {1, "I"}};
  if (n < 1 || n > 3999) return -1;
  *out = '\0';
  for (unsigned i = 0; n > 0; n >= steps[i].value ? (strcat(out, steps[i].text), n -= steps[i].value) : (int)i++)
    ;
  return 0;
}
