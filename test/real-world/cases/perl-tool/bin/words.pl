#!/usr/bin/perl
use strict;
use warnings;
use Words::Count;

print "$_\n" for Words::Count::count(@ARGV);
