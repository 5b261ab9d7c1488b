#include <stdio.h>
#include <stdlib.h>

#include "roman.h"

int main(int argc, char **argv) {
  char text[16];
  for (int i = 1; i < argc; i++) {
    if (roman(atoi(argv[i]), text) != 0) return 1;
    puts(text);
  }
  return 0;
}
