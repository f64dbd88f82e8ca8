#!/usr/bin/perl

# Outputs that cannot work: an address that does not answer or refuses, a
# name that is not known, a network that is not there, a host that sends
# datagrams back.  Each says so, tries again and begins when it can; the
# output beside them does not lose a packet.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Time::HiRes qw/ time sleep /;
use MC;
use MC::Datagram qw/ ts ts_read /;

# a network that is not there is one without any route: that of a namespace
# with loopback alone

if ($> == 0 && !$ENV{MC_NETNS} && system('unshare -n true 2>/dev/null') == 0) {
    $ENV{MC_NETNS} = 1;
    exec 'unshare', '-n', $^X, $0, @ARGV;
    die "unshare: $!";
}

my $alone = $ENV{MC_NETNS};

system('ip link set lo up') if $alone;

my $dns = grep { -x "$_/dnsmasq" } qw( /usr/sbin /sbin /usr/bin );

my $t = MC->new(start => 0, workers => 1, log => 'notice');

my $flows = <<'END';
mc_resolver 127.0.0.1:%%dns%%;

mc_flow out {
    mc_source  udp://127.0.0.1:%%in%%;
    mc_output  good    udp://127.0.0.1:%%good%%;
    mc_output  srt     srt://127.0.0.1:%%srt%%  conntimeo=500;
    mc_output  silent  srt://127.0.0.1:%%silent%%  conntimeo=500;
    mc_output  closed  udp://127.0.0.1:%%closed%%;
    mc_output  closer  rtp://127.0.0.1:%%closer%%;
END

$flows .= <<'END' if $dns;
    mc_output  name    udp://nowhere.invalid:%%name%%;
    mc_output  sname   srt://nowhere.invalid:%%name%%;
    mc_output  later   rtp://later.test:%%later%%;
END

$flows .= <<'END' if $alone;
    mc_output  away    udp://192.0.2.1:5000;
    mc_output  away6   rtp://[2001:db8::1]:5000;
    mc_output  group   udp://239.1.2.3:5000;
END

$t->{flows} = "$flows}\n";

sub dnsmasq {
    my (@options) = @_;

    return $t->spawn('dnsmasq', 'dnsmasq', '-k', '-C', '/dev/null', '-x',
                     '%%DIR%%/dnsmasq.pid', qw/ -u root --no-resolv
                     --no-hosts --bind-interfaces -a 127.0.0.1 -p %%dns%%
                     --local=\/invalid\/ --local=\/test\/ /, @options);
}

my $server = $dns ? dnsmasq() : undef;

# one that takes whatever comes and says nothing

my $mute = MC::Datagram->new(port => $t->port('silent'));
my $good = $t->mcpkt('recv', 'udp://127.0.0.1:%%good%%', '--seconds', 60);
$t->start;

my $send = $t->mcpkt('send', 'udp://127.0.0.1:%%in%%', '--seconds', 50,
                     '--rate', '5m');

sub event {
    my ($name, $code) = @_;

    return grep { $_->{name} eq $name && $_->{code} eq $code
                  && $_->{type} eq 'output-primary' } $t->events('out');
}


# what does not open: why, and when next

sub fails {
    my ($name, $code, $error) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $o;

    $t->wait_for(sub {
        $o = $t->output('out', $name);
        event($name, $code) && $o->{last_error} && $o->{retry_at};
    }, 8, "$name: $code") or return;

    is($o->{state}, 'connecting', "$name: connecting");
    like($o->{last_error}, $error, "$name: says why");
    like((event($name, $code))[0]{message}, $error, "$name: so does the event");
    is($o->{packets}, 0, "$name: sends nothing");
    is($o->{connections}, 0, "$name: was never connected");
}

fails('srt', 'connect_failed', qr/./);
fails('silent', 'connect_failed', qr/tim(?:e|ed) ?out/i);

SKIP: {
    skip 'no dnsmasq', 15 unless $dns;

    fails('name', 'resolve_failed', qr/nowhere\.invalid/);
    fails('sname', 'resolve_failed', qr/nowhere\.invalid/);
    fails('later', 'resolve_failed', qr/later\.test/);
}

SKIP: {
    skip 'no network namespace', 15 unless $alone;

    fails('away', 'connect_failed', qr/unreachable/i);
    fails('away6', 'connect_failed', qr/unreachable|cannot assign/i);
    fails('group', 'connect_failed', qr/unreachable/i);
}


# a port that nobody has opened: datagrams are sent, and come back

for (qw/ closed closer /) {
    my $o;

    $t->wait_for(sub { ($o = $t->output('out', $_))->{last_error} }, 5,
                 "$_: that nobody is there is told");
    is($o->{state}, 'connected', "$_: but the socket sends");
    cmp_ok($o->{packets}, '>', 100, "$_: and counts");
    is(scalar(event($_, 'disconnected')), 0, "$_: is not closed for it");
}

$t->wait_for(sub { $t->flow('out')->{health} eq 'degraded' }, 3,
             'the flow is degraded');
ok(scalar @{ $t->flow('out')->{reasons} }, 'and says why');


# they begin when somebody is there

my %recv;

$recv{$_} = $t->mcpkt('recv', ($_ eq 'closer' ? 'rtp' : 'udp')
                      . "://127.0.0.1:%%$_%%", '--seconds', 30)
    for qw/ closed closer /;
$recv{srt} = $t->mcpkt('recv', 'srt://127.0.0.1:%%srt%%?mode=listener',
                       '--seconds', 30);

if ($dns) {
    $server->stop;
    $server = dnsmasq('--host-record=later.test,127.0.0.1');
    $recv{later} = $t->mcpkt('recv', 'rtp://127.0.0.1:%%later%%',
                             '--seconds', 30);
}

$t->wait_for(sub {
    my $f = $t->flow('out');
    my %o = map { $_->{name} => $_ } @{ $f->{outputs} };
    !grep { $o{$_}{state} ne 'connected' || $o{$_}{packets} < 300 } keys %recv;
}, 20, 'they are connected') or diag(explain($t->flow('out')->{outputs}));

for (qw/ closed closer /) {
    $t->wait_for(sub { !defined $t->output('out', $_)->{last_error} }, 8,
                 "$_: nothing is wrong any more");
}

$send->stop;
my $n = $send->json->{packets};

$t->wait_for(sub { $t->source('out')->{packets} == $n }, 3, 'all has come');
$t->poll(sub { 0 }, 0.3);

$good->stop;
my $r = $good->json;

is_deeply([@$r{qw/ datagrams lost duplicate reordered corrupted /}],
          [$n, 0, 0, 0, 0], 'the good output has lost nothing');
cmp_ok($r->{silence_ms}, '<', 1000, 'nor has it waited');

for (sort keys %recv) {
    $recv{$_}->stop;
    my $got = $recv{$_}->json;

    cmp_ok($got->{datagrams}, '>', 300, "$_: receives");
    is_deeply([@$got{qw/ lost duplicate corrupted /}], [0, 0, 0],
              "$_: and without gaps");
}

my $o = $t->output('out', 'good');
is($o->{dropped_packets}, 0, 'the good output has dropped nothing');
is($o->{last_error}, undef, 'and has no error');

# between attempts more and more time passes

my @failed = event('silent', 'connect_failed');
cmp_ok(scalar @failed, '>=', 3,
       'an address that does not answer is tried again');
cmp_ok(scalar @failed, '<', 20, 'but not all the time');

$t->finish;
done_testing();
