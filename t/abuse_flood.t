#!/usr/bin/perl

# Floods of SRT handshakes, whole ones and pieces, at ports that refuse them
# for every reason: streams go on without loss, on these ports and on others,
# what was refused is counted, and memory does not grow with it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Time::HiRes qw/ sleep /;
use MC;

my $t = MC->new(workers => 1, log => 'error', flows => <<'END');
mc_latency 200ms;

mc_flow streamid {
    mc_source  srt://127.0.0.1:%%streamid%%  mode=listener streamid=known;
    mc_output  o  udp://127.0.0.1:%%streamid_o%%;
}
mc_flow passphrase {
    mc_source  udp://127.0.0.1:%%passphrase_i%%;
    mc_output  o  srt://127.0.0.1:%%passphrase%%  mode=listener
                  passphrase=0123456789;
}
mc_flow address {
    mc_source  srt://127.0.0.1:%%address%%  mode=listener allow=127.0.0.9;
    mc_output  o  udp://127.0.0.1:%%address_o%%;
}
mc_flow busy {
    mc_source  srt://127.0.0.1:%%busy%%  mode=listener;
    mc_output  o  srt://127.0.0.1:%%limit%%  mode=listener max_peers=2;
}
mc_flow other {
    mc_source  srt://127.0.0.1:%%other%%  mode=listener;
    mc_output  o  srt://127.0.0.1:%%other_o%%  mode=listener;
}
END

# one stream for each port, all from before the first flood to after the last

my @stream = (['streamid', 'srt://127.0.0.1:%%streamid%%?streamid=known'],
              ['passphrase', 'udp://127.0.0.1:%%passphrase_i%%'],
              ['address', 'srt://127.0.0.1:%%address%%?adapter=127.0.0.9'],
              ['busy', 'srt://127.0.0.1:%%busy%%'],
              ['other', 'srt://127.0.0.1:%%other%%']);

my $n = 6500;                            # at 2 Mbit/s, 34 seconds
my (%recv, %send);

for (@stream) {
    my ($flow) = @$_;

    $recv{$flow} = $t->mcpkt('recv',
        $flow eq 'other' ? 'srt://127.0.0.1:%%other_o%%'
        : $flow eq 'passphrase'
            ? 'srt://127.0.0.1:%%passphrase%%?passphrase=0123456789'
        : $flow eq 'busy' ? 'srt://127.0.0.1:%%limit%%'
        : "udp://127.0.0.1:%%${flow}_o%%", '--packets', $n, '--idle', 4,
        $flow eq 'busy' ? ('--count', 2, '--each', '--own-ports') : ());
}

$t->wait_for(sub {
    @{ $t->output('busy', 'o')->{peers} } == 2
    && @{ $t->output('passphrase', 'o')->{peers} } == 1
    && @{ $t->output('other', 'o')->{peers} } == 1
}, 5, 'receivers');

for (@stream) {
    my ($flow, $url) = @$_;
    $send{$flow} = $t->mcpkt('send', $url, '--packets', $n, '--rate', '2m');
}

$t->wait_for(sub {
    !grep { $t->source($_->[0])->{state} ne 'connected' } @stream
}, 5, 'streams');

my @flood = (['streamid', 'streamid', 'full'],
             ['passphrase', 'passphrase', 'full'],
             ['address', 'address', 'full'],
             ['busy', 'busy', 'full'],
             ['busy', 'limit', 'full'],
             ['other', 'other', 'nocookie'],
             ['other', 'other_o', 'induction'],
             ['other', 'other', 'garbage']);

my @refused = (['streamid', 'rejected_streamid'],
               ['passphrase', 'rejected_passphrase'],
               ['address', 'rejected_address'],
               ['busy', 'rejected_busy']);

# the endpoint that refuses

sub refuser {
    my ($flow) = @_;

    return $flow eq 'passphrase' ? $t->output($flow, 'o') : $t->source($flow);
}

sub flood {
    my ($round, @which) = @_;

    my @p = map {
        my ($flow, $port, $kind) = @$_;
        $t->mcpkt('flood', "srt://127.0.0.1:%%$port%%", '--kind', $kind,
                  '--rate', 150, '--seconds', 2.5, '--seed', $round);
    } @which;

    my @r = map { $_->json(20) } @p;

    for my $i (0 .. $#which) {
        my ($flow, $port, $kind) = @{ $which[$i] };

        next if $kind ne 'full';

        cmp_ok($r[$i]{concluded}, '>', 150,
               "round $round: handshakes for port $port");
        is($r[$i]{accepted}, 0, "round $round: none accepted on port $port")
            if $flow ne 'passphrase';
    }

    # what libsrt has closed it still holds for some seconds

    $t->poll(sub { 0 }, 3.5);
}


# refused in the callback, or before: nothing is kept for them

my @rss = $t->rss;

for my $round (1, 2) {
    my %before = map { $_->[0] => refuser($_->[0])->{rejected} } @refused;
    my $limit = $t->output('busy', 'o')->{rejected};

    flood($round, grep { $_->[0] ne 'passphrase' } @flood);

    for (@refused) {
        my ($flow) = @$_;
        next if $flow eq 'passphrase';
        cmp_ok(refuser($flow)->{rejected} - $before{$flow}, '>', 100,
               "round $round: counted by $flow");
    }

    cmp_ok($t->output('busy', 'o')->{rejected} - $limit, '>', 100,
           "round $round: counted by the output with max_peers=");

    push @rss, $t->rss;
}

# a passphrase is looked at later, when libsrt has made a socket of it: that
# is given back, though in pieces

for my $round (3 .. 5) {
    my $before = refuser('passphrase')->{rejected};

    flood($round, grep { $_->[0] eq 'passphrase' } @flood);

    cmp_ok(refuser('passphrase')->{rejected} - $before, '>', 100,
           "round $round: counted by passphrase");

    push @rss, $t->rss;
}

is(scalar(grep { $send{$_}->running } keys %send), 5, 'streams all the while');

diag("RSS before and after each round, KiB: @rss") if $ENV{MC_DEBUG};

SKIP: {
    skip 'sanitizers keep what was freed', 2 if $t->{asan};

    cmp_ok($rss[2] - $rss[1], '<', 1000, 'the second round takes no memory')
        or diag("RSS, KiB: @rss");
    cmp_ok($rss[5] - $rss[4], '<', 12000, 'nor do more passphrases')
        or diag("RSS, KiB: @rss");
}

for (@refused) {
    my ($flow, $code) = @$_;
    my @e = grep { $_->{code} eq $code } $t->events($flow);

    ok(@e >= 2, "$code of $flow");
    cmp_ok(scalar @e, '<', 40, "$code: not an event for each");
}

ok(scalar(grep { $_->{code} eq 'rejected_limit' && $_->{name} eq 'o' }
          $t->events('busy')), 'rejected_limit of the output');

for (@stream) {
    my ($flow) = @$_;

    $send{$flow}->json(30);
    my $r = $recv{$flow}->json(10);

    if ($flow eq 'busy') {
        is_deeply([map { [@$_{qw/ datagrams lost duplicate /}] }
                       @{ $r->{each} }],
                  [[$n, 0, 0], [$n, 0, 0]], "$flow: both have all");

    } else {
        is_deeply([@$r{qw/ datagrams lost duplicate corrupted /}],
                  [$n, 0, 0, 0], "$flow: a stream all the while");
    }

    is($t->source($flow)->{connections}, 1, "$flow: one connection");
}

$t->finish;
done_testing();
