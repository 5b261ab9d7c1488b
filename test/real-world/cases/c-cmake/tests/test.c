#include <string.h>

#include "roman.h"

int main(void) {
  char text[16];
  return roman(1994, text) != 0 || strcmp(text, "MCMXCIV") != 0 || roman(0, text) != -1;
}
