#!/usr/bin/perl

# A source that is chosen by hand feeds the destinations of both pipelines; the
# other stays connected and feeds nothing; "auto" is as configured.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use MC;

my $t = MC->new(workers => 2, control => 1, log => 'notice', flows => <<'END');
mc_flow a {
    mc_source  srt://:%%p%%;
    mc_source  udp://127.0.0.1:%%b%%  backup;

    mc_output  u  udp://127.0.0.1:%%up%%;
    mc_output  u  udp://127.0.0.1:%%ub%%  backup;
    mc_output  r  rtp://127.0.0.1:%%rp%%;
    mc_output  l  srt://:%%lp%%;
}
END

my %send = (
    primary => $t->mcpkt('send', 'srt://127.0.0.1:%%p%%', '--seconds', 60,
                         '--rate', '1m', '--wait', 10),
    backup => $t->mcpkt('send', 'udp://127.0.0.1:%%b%%', '--seconds', 60,
                        '--rate', '1m'),
);

sub sources {
    return @{ $t->flow('a')->{sources} };
}

$t->wait_for(sub { !grep { $_->{state} ne 'connected' } sources() }, 10,
             'both sources are connected');

# which of the two streams each output carries: they are told by their ids

my %output = (
    'u primary' => 'udp://127.0.0.1:%%up%%',
    'u backup'  => 'udp://127.0.0.1:%%ub%%',
    'r primary' => 'rtp://127.0.0.1:%%rp%%',
    'l primary' => 'srt://127.0.0.1:%%lp%%',
);

my %id;

sub carried {
    my %recv = map {
        $_ => $t->mcpkt('recv', $output{$_}, '--seconds', 2, '--wait', 5)
    } keys %output;

    return map { $_ => join ' ', sort keys %{ $recv{$_}->json->{ids} || {} } }
           keys %recv;
}

sub choose {
    my ($source, $active, %expected) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $r = $t->post("/flows/a/source/$source");
    is($r->{status}, 200, "$source: chosen");
    is($t->flow('a')->{active_source}, $active, "$source: is shown");

    my %got = carried();

    is_deeply(\%got, \%expected, "$source: feeds whom it should")
        or diag(explain(\%got));

    my %before = map { $_->{pipeline} => $_->{packets} } sources();
    $t->wait_for(sub { !grep { $_->{packets} <= $before{$_->{pipeline}} }
                       sources() }, 5, "$source: both are received");
    is(join(' ', map { $_->{connections} } sources()), '1 1',
       "$source: both stay connected");
}

my %auto = carried();

isnt($auto{'u primary'}, $auto{'u backup'}, 'two streams');
is($auto{$_}, $auto{'u primary'}, "$_: of the primary source")
    for 'r primary', 'l primary';

choose('backup', 'backup', map { $_ => $auto{'u backup'} } keys %output);
choose('primary', 'primary', map { $_ => $auto{'u primary'} } keys %output);
choose('backup', 'backup', map { $_ => $auto{'u backup'} } keys %output);

# it outlives a reload that changes the flow while it is live

my $flows = $t->{flows} =~ s/mc_flow a \{/$&\n    mc_title two;/r;
my ($exit, $out) = $t->reload(flows => $flows);
is($exit, 0, 'a reload') or diag($out);
$t->wait_for(sub { ($t->flow('a')->{title} || '') eq 'two' }, 5, 'in force');
my %after = carried();
is_deeply(\%after, { map { $_ => $auto{'u backup'} } keys %output },
          'the choice outlives it');

choose('auto', 'primary', %auto);

$_->stop for values %send;
$t->finish;
done_testing();
