#ifndef ROMAN_H
#define ROMAN_H

/* Writes n (1 to 3999) into out, which has room for 16 bytes; gives -1 for other numbers. */
int roman(int n, char *out);

#endif
