#!/usr/bin/perl

# Any protocol in, any protocol out, over IPv4 and IPv6: all, once, in order,
# and the status counts it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use MC;

my $six = -e '/proc/net/if_inet6'
    && `cat /proc/net/if_inet6` =~ /^0{31}1 /m;

# flow, and what stands for the host of its sources and outputs

my @kinds = ([srt4 => 'srt', '127.0.0.1'], [rtp4 => 'rtp', '127.0.0.1'],
             [udp4 => 'udp', '127.0.0.1']);
push @kinds, [srt6 => 'srt', '[::1]'], [rtp6 => 'rtp', '[::1]'],
             [udp6 => 'udp', '[::1]'] if $six;

my $flows = "mc_latency 60ms;\n";

for (@kinds) {
    my ($flow, $proto, $host) = @$_;

    my $source = $proto eq 'srt' ? "srt://$host:%%${flow}%%  mode=listener"
                                 : "$proto://" . ($host =~ /:/ ? '[::]' : '')
                                   . ":%%${flow}%%";
    $flows .= <<"FLOW";
mc_flow $flow {
    mc_source  $source;
    mc_output  listener  srt://$host:%%${flow}_l%%  mode=listener;
    mc_output  caller    srt://$host:%%${flow}_c%%;
    mc_output  rtp       rtp://$host:%%${flow}_rtp%%;
    mc_output  udp       udp://$host:%%${flow}_udp%%;
}
FLOW
}

my $t = MC->new(workers => 2, log => 'notice', flows => $flows);

my $n = 800;
my @args = ('--packets', $n, '--md5');
my (%recv, %sent);

for (@kinds) {
    my ($flow, $proto, $host) = @$_;

    $recv{$flow} = {
        listener => $t->mcpkt('recv', "srt://$host:%%${flow}_l%%", @args),
        caller => $t->mcpkt('recv', "srt://$host:%%${flow}_c%%?mode=listener",
                            @args),
        rtp => $t->mcpkt('recv', "rtp://$host:%%${flow}_rtp%%", @args),
        udp => $t->mcpkt('recv', "udp://$host:%%${flow}_udp%%", @args),
    };
}

$t->wait_for(sub {
    for (@kinds) {
        my $f = $t->flow($_->[0]) or return 0;
        my %o = map { $_->{name} => $_ } @{ $f->{outputs} };
        return 0 unless $o{caller}{state} eq 'connected'
            && @{ $o{listener}{peers} } == 1;
    }
    1;
}, 10, 'outputs are connected');

for (@kinds) {
    my ($flow, $proto, $host) = @$_;

    # the numbers of RTP wrap on the way

    $sent{$flow} = $t->mcpkt('send', "$proto://$host:%%${flow}%%", '--mix',
                             @args, '--rate', '5m',
                             $proto eq 'rtp' ? ('--start-seq', 65000) : ());
}

for (@kinds) {
    my ($flow, $proto) = @$_;

    my $sent = $sent{$flow}->json;

    for my $out (qw/ listener caller rtp udp /) {
        my $got = $recv{$flow}{$out}->json;

        is_deeply(
            { map { $_ => $got->{$_} }
                  qw/ datagrams lost ts_lost duplicate reordered corrupted
                      odd_sizes md5 / },
            { datagrams => $n, lost => 0, ts_lost => 0, duplicate => 0,
              reordered => 0, corrupted => 0, odd_sizes => 0,
              md5 => $sent->{md5} },
            "$flow to $out: all, once, in order, the same bytes");

        ok($got->{null_packets} > 0 && $got->{other_packets} > 0,
           "$flow to $out: null packets and unknown PIDs");

        next unless $out eq 'rtp';

        my $rtp = $got->{rtp};

        is_deeply(
            { map { $_ => $rtp->{$_} }
                  qw/ packets bad version pt lost reordered duplicate
                      ssrc_changes ts_backwards / },
            { packets => $n, bad => 0, version => 2, pt => 33, lost => 0,
              reordered => 0, duplicate => 0, ssrc_changes => 0,
              ts_backwards => 0 },
            "$flow to rtp: headers in order");
    }

    # from a source of RTP the headers are the sender's

    if ($proto eq 'rtp') {
        my $rtp = $recv{$flow}{rtp}->json->{rtp};
        is($rtp->{ssrc}, $sent->{ssrc}, "$flow to rtp: the same SSRC");
        is($rtp->{first_seq}, 65000, "$flow to rtp: the same first number");
    }
}

# and the status says the same

for (@kinds) {
    my ($flow, $proto) = @$_;

    my $f = $t->flow($flow);
    my $s = $f->{sources}[0];

    is($s->{protocol}, $proto, "$flow: protocol");
    is($s->{packets}, $n, "$flow: packets of the source");
    is($s->{bytes}, $n * 1316, "$flow: bytes of the source");
    is($s->{dropped_packets}, 0, "$flow: nothing dropped");
    is($s->{rejected}, 0, "$flow: nothing rejected");
    is($s->{connections}, 1, "$flow: one connection");

    is_deeply(
        { map { $_->{name} => [@$_{qw/ packets bytes dropped_packets /}] }
              @{ $f->{outputs} } },
        { map { $_ => [$n, $n * 1316, 0] } qw/ listener caller rtp udp / },
        "$flow: what the outputs sent");

    if ($proto eq 'rtp') {
        is_deeply(
            { map { $_ => $s->{rtp}{$_} }
                  qw/ packets lost_packets reordered_packets
                      duplicate_packets / },
            { packets => $n, lost_packets => 0, reordered_packets => 0,
              duplicate_packets => 0 }, "$flow: object rtp");

        ok(defined $s->{rtp}{jitter_ms} && $s->{rtp}{jitter_ms} < 50,
           "$flow: jitter");

        ok(!exists $s->{srt}, "$flow: no object srt");

    } else {
        ok(!exists $s->{rtp}, "$flow: no object rtp");
    }
}

$t->finish;
done_testing();
