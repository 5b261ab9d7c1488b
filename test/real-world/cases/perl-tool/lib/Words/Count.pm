package Words::Count;
use strict;
use warnings;

sub count {
    my %n;
    $n{ lc $_ }++ for @_;
    return map { "$_ $n{$_}" } sort { $n{$b} <=> $n{$a} || $a cmp $b } keys %n;
}

1;
