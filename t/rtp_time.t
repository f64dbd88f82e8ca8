#!/usr/bin/perl

# Timestamps of RTP outputs follow the PCRs of the stream, at 90 kHz, or the
# time of arrival where there are none; with pace=pcr datagrams also leave at
# those times, with pace=off as they came.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use POSIX qw/ floor /;
use Test::More;
use Time::HiRes qw/ time sleep /;
use MC;
use MC::Datagram qw/ rtp rtp_read ts /;

my $t = MC->new(workers => 2, log => 'notice', flows => <<'END');
mc_latency 120ms;

mc_flow srt {
    mc_source  srt://127.0.0.1:%%srt%%  mode=listener;
    mc_output  rtp   rtp://127.0.0.1:%%srt_rtp%%;
    mc_output  off   rtp://127.0.0.1:%%srt_off%%  pace=off;
    mc_output  udp   udp://127.0.0.1:%%srt_udp%%;
    mc_output  uoff  udp://127.0.0.1:%%srt_uoff%%?pace=off;
}
mc_flow udp {
    mc_source  udp://127.0.0.1:%%udp%%;
    mc_output  rtp   rtp://127.0.0.1:%%udp_rtp%%  pace=pcr;
    mc_output  off   rtp://127.0.0.1:%%udp_off%%;
    mc_output  udp   udp://127.0.0.1:%%udp_udp%%  pace=pcr;
    mc_output  uoff  udp://127.0.0.1:%%udp_uoff%%;
}
mc_flow rtp {
    mc_source  rtp://127.0.0.1:%%rtp%%;
    mc_output  rtp   rtp://127.0.0.1:%%rtp_rtp%%  pace=pcr;
    mc_output  off   rtp://127.0.0.1:%%rtp_off%%;
    mc_output  udp   udp://127.0.0.1:%%rtp_udp%%  pace=pcr;
    mc_output  uoff  udp://127.0.0.1:%%rtp_uoff%%;
}
mc_flow pcr {
    mc_source  udp://127.0.0.1:%%pcr%%;
    mc_output  rtp  rtp://127.0.0.1:%%pcr_rtp%%;
}
mc_flow none {
    mc_source  udp://127.0.0.1:%%none%%;
    mc_output  rtp  rtp://127.0.0.1:%%none_rtp%%;
}
END

my $n = 2400;
my $interval = 1316 * 8 / 8;                     # us
my (%recv, %send);

# bursts of ten datagrams, 13 ms apart; the PCRs wrap after a second

for my $flow (qw/ srt udp rtp /) {
    for (qw/ rtp off udp uoff /) {
        my $proto = /^u/ ? 'udp' : 'rtp';
        $recv{"$flow $_"} = $t->mcpkt('recv',
            "$proto://127.0.0.1:%%${flow}_$_%%", '--packets', $n, '--md5',
            '--skip', 0.5);
    }
}

for (qw/ srt udp rtp /) {
    $send{$_} = $t->mcpkt('send', "$_://127.0.0.1:%%$_%%", '--packets', $n,
                          '--rate', '8m', '--burst', 10, '--md5',
                          '--pcr-start', 2 ** 33 * 300 - 27_000_000);
}

for my $flow (qw/ srt udp rtp /) {
    my $md5 = $send{$flow}->json->{md5};

    for (qw/ rtp off udp uoff /) {
        my $got = $recv{"$flow $_"}->json;
        my $name = "$flow to $_";
        my $gap = $got->{gap_us};

        is_deeply([@$got{qw/ datagrams lost duplicate reordered md5 /}],
                  [$n, 0, 0, 0, $md5], "$name: all, once, in order");

        if (/off/) {
            cmp_ok($gap->{p50}, '<', $interval / 2, "$name: sent as it came");

        } else {
            cmp_ok($gap->{p50}, '>', $interval * 0.6, "$name: evenly spaced");
            cmp_ok($gap->{p50}, '<', $interval * 1.6,
                   "$name: evenly spaced, no slower");
        }

        next if /^u/;

        my $rtp = $got->{rtp};

        cmp_ok(abs($rtp->{ts_rate} - 90000), '<', 1800,
               "$name: a clock of 90 kHz");
        is($rtp->{ts_backwards}, 0, "$name: never backwards");
        is($rtp->{ssrc_changes} + $rtp->{lost}, 0, "$name: one sequence");
    }
}


# a PCR says when its byte is to arrive: the datagram that it is in, so many
# bytes before.  The first PCRs only tell the rate.

for my $flow (qw/ srt udp /) {
    my $out = MC::Datagram->new(port => $t->port("${flow}_rtp"));
    my $send = $t->mcpkt('send', "$flow://127.0.0.1:%%$flow%%",
                         '--packets', 1000, '--rate', '8m', '--burst', 10,
                         '--pcr-start', 2 ** 33 * 300 - 13_500_000);
    my @errors;

    for ($out->recv_all(1000, 10)) {
        my $d = rtp_read($_);

        for my $at (map { $_ * 188 } 0 .. 6) {
            my ($flags, $len, $kind, $high, $low) =
                unpack 'x3 CCCNC', substr $d->{payload}, $at, 11;
            next unless $flags & 0x20 && $len && $kind & 0x10;

            my $pcr = $high * 2 + ($low >> 7);
            my $error = $d->{ts} - $pcr + ($at + 10) * 8 * 90_000 / 8_000_000;

            push @errors, $error - 2 ** 32 * floor($error / 2 ** 32);
        }
    }

    cmp_ok(scalar @errors, '>', 30, "$flow: PCRs on the way");
    splice @errors, 0, 4;

    my $first = $errors[0];
    my @off = grep {
        my $e = abs $_ - $first;
        $e > 2 ** 31 ? 2 ** 32 - $e > 9 : $e > 9
    } @errors;

    is(scalar @off, 0, "$flow: timestamps are those of the PCRs")
        or diag(join ' ', map { sprintf '%.1f', $_ - $first } @errors);

    $send->json;
}


# PCRs in each datagram, 10 ms apart: timestamps to the tick

my $out = MC::Datagram->new(port => $t->port('pcr_rtp'));
my $in = MC::Datagram->new(to => ['127.0.0.1', $t->port('pcr')]);

sub stream {
    my ($in, $out, $count, %p) = @_;

    my $next = time();
    my @got;

    for my $n (0 .. $count - 1) {
        $in->send(ts($n, defined $p{pcr} ? (pcr => $p{pcr} + $n * 270_000)
                                         : ()));
        $next += 0.01;
        my $left = $next - time();
        sleep($left) if $left > 0;
    }

    return map { rtp_read($_) } $out->recv_all($count, 2);
}

my $start = time();
my @got = stream($in, $out, 100, pcr => 12_345_678_900);
my $first = @got;

is($first, 100, 'a stream with PCRs');
is(scalar(grep { ($got[$_]{ts} - $got[$_ - 1]{ts} & 0xffffffff) == 900 }
          2 .. $#got), 98, 'timestamps follow the PCRs exactly');

# the programme begins anew: time goes on from where it was

my @again = stream($in, $out, 60, pcr => 500_000_000);
my $elapsed = (time() - $start) * 90000;

is(scalar @again, 60, 'PCRs jump');
is(scalar(grep { ($again[$_]{ts} - $again[$_ - 1]{ts} & 0xffffffff) == 900 }
          10 .. $#again), 50, 'after the jump they follow again');

my $whole = $again[-1]{ts} - $got[0]{ts} & 0xffffffff;
cmp_ok($whole, '<', $elapsed * 1.2 + 9000, 'the jump is not in timestamps');
cmp_ok($whole, '>', $elapsed * 0.7 - 9000, 'nor do they stand still');


# no PCRs at all

$out = MC::Datagram->new(port => $t->port('none_rtp'));
$in = MC::Datagram->new(to => ['127.0.0.1', $t->port('none')]);

$start = time();
@got = stream($in, $out, 100);
$elapsed = (time() - $start) * 90000;
$whole = $got[-1]{ts} - $got[0]{ts} & 0xffffffff;

is(scalar @got, 100, 'a stream without PCRs');
cmp_ok($whole, '<', $elapsed, 'timestamps are those of arrival');
cmp_ok($whole, '>', $elapsed * 0.8, 'timestamps go on without PCRs');

$t->finish;
done_testing();
