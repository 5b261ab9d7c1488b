use strict;
use warnings;
use Words::Count;

my @got = Words::Count::count(qw(a B b));
die "wrong: @got" unless "@got" eq "b 2 a 1";
print "ok\n";
