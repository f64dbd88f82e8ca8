#!/usr/bin/perl

# What operators ask the old workers for during a binary upgrade goes with the
# flows, both what is stopped and what is started again.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use MC;

my $flows = join '', map { <<"END" } qw/ a b c /;
mc_flow $_ {
    mc_source  udp://127.0.0.1:%%$_%%;
    mc_output  one  udp://127.0.0.1:%%${_}1%%;
    mc_output  two  udp://127.0.0.1:%%${_}2%%;
}
END

# these share a port, and so go together

$flows .= <<"END" for qw/ d e /;
mc_flow $_ {
    mc_source  srt://:%%shared%%  streamid=$_;
    mc_output  one  udp://127.0.0.1:%%${_}1%%;
    mc_output  two  udp://127.0.0.1:%%${_}2%%;
}
END

my $t = MC->new(workers => 2, control => 1, daemon => 1, log => 'notice',
                flows => $flows);

sub post_ok {
    my ($path) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is($t->post("/flows/$path")->{status}, 200, "POST $path");
}

sub flow_is {
    my ($name, $status, $by, $two) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    $t->wait_for(sub { $t->flow($name)->{pid} }, 5, "$name: is run");

    my $f = $t->flow($name);
    is("$f->{status} by $f->{state_by}", "$status by $by", "$name: $status");
    $t->wait_for(sub { $t->output($name, 'two')->{state} eq $two }, 5,
                 "$name: an output is $two");
}

post_ok('b/stop');

my ($second, $first) = $t->upgrade(flows => $flows);

is($t->output('a', 'two')->{state}, 'connecting', 'the new one has no flow');
is($t->output('a', 'two')->{last_error}, 'held by another nginx',
   'and says why');
is($t->flow('b')->{status}, 'stopped', 'what was stopped before it knows');

$t->master($first);
post_ok('a/stop');
post_ok('b/start');
post_ok('c/outputs/two/stop');
post_ok('e/stop');
$t->wait_for(sub { $t->flow('a')->{status} eq 'stopped' }, 5);

$t->master($second);
kill 'WINCH', $first;

flow_is('a', 'stopped', 'operator', 'stopped');
flow_is('b', 'running', 'config', 'connected');
flow_is('c', 'running', 'config', 'stopped');
flow_is('d', 'running', 'config', 'connected');
flow_is('e', 'stopped', 'operator', 'stopped');

kill 'QUIT', $first;
$t->wait_for(sub { !MC::alive($first) }, 10, 'the old master ends');

post_ok('a/start');
flow_is('a', 'running', 'config', 'connected');

$t->stop;
$t->start;
flow_is('a', 'running', 'config', 'connected');
flow_is('b', 'running', 'config', 'connected');
flow_is('c', 'running', 'config', 'stopped');

$t->finish;
done_testing();
