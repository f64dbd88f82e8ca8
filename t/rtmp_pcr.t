#!/usr/bin/perl

# Transport streams that are made of RTMP, as they leave: PCRs, in the stream
# and when they arrive, bursts, constant and capped rates.  What is a matter of
# bytes is strict, what a busy machine may delay is not.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use List::Util qw/ max /;
use Test::More;
use MC;
use MC::Media qw/ sample convert /;
use MC::Rtmp qw/ publish /;
use MC::TSCheck qw/ capture captured check jitter peak /;

# ffmpeg's beginning is not smooth
my $SETTLE = 2_000_000;

my @even = (rate => '2M', gop => 50,
            args => [qw/ -maxrate 2M -bufsize 500k /]);

# name, sample, parameters of the source, most ms between PCRs

my @streams = (
    plain => { @even, rate => '3M' }, '', 35,
    slow => { fps => 10, audio => 'none' }, '', 35,
    fast => { fps => 50, rate => '3M' }, '', 35,
    audio => { video => 'none' }, '', 35,
    constant => { @even }, 'muxrate=4M', 35,
    capped => { @even }, 'maxrate=3M', 35,
);

my (@all, $flows);

while (my ($name, $sample, $params, $gap) = splice @streams, 0, 4) {
    push @all, { name => $name, sample => $sample, gap => $gap,
                 muxrate => $params =~ /muxrate=(\d)M/ ? $1 * 1e6 : 0,
                 maxrate => $params =~ /maxrate=(\d)M/ ? $1 * 1e6 : 0 };

    $flows .= <<"END";
mc_flow $name {
    mc_source  rtmp:///live/$name  $params;
    mc_output  rtp  rtp://127.0.0.1:%%${name}_rtp%%;
    mc_output  udp  udp://127.0.0.1:%%${name}_udp%%;
    mc_output  off  udp://127.0.0.1:%%${name}_off%%  pace=off;
    mc_output  srt  srt://:%%${name}_srt%%;
}
END
}

my $t = MC->new(flows => $flows,
                rtmp => 'server { listen 127.0.0.1:%%rtmp%%; chunk_size 4096;'
                        . ' application live { live on; } }');

for my $s (@all) {
    sample($t, "$s->{name}.ts", seconds => 10, %{ $s->{sample} });
    $s->{file} = convert($t, "$s->{name}.ts", "$s->{name}.flv");

    push @{ $s->{capture} },
        capture($t, "$_->[0]://127.0.0.1:%%$s->{name}_$_->[1]%%",
                "$s->{name}-$_->[1].cap")
        for ['rtp', 'rtp'], ['udp', 'udp'], ['udp', 'off'], ['udp', 'slt'];

    $s->{slt} = $t->spawn('slt', qw/ srt-live-transmit -q /,
        'srt://127.0.0.1:' . $t->port("$s->{name}_srt") . '?latency=200',
        'udp://127.0.0.1:' . $t->port("$s->{name}_slt"));
}

for my $s (@all) {
    $t->wait_for(sub { @{ $t->output($s->{name}, 'srt')->{peers} } }, 10,
                 "$s->{name}: a receiver is there");
}

$_->{publish} = publish($t, "rtmp://127.0.0.1:%%rtmp%%/live/$_->{name}",
                        $_->{file}) for @all;

for my $s (@all) {
    is($s->{publish}->wait(40), 0, "$s->{name}: was published")
        or diag($s->{publish}->err);
}

# what is paced, and what waits for its time, is still on its way

$t->poll(sub { 0 }, 2);

for my $s (@all) {
    $_->stop for @{ $s->{capture} }, $s->{slt};
}

my %peak;

for my $s (@all) {
    for my $o (qw/ rtp udp off slt /) {
        my $name = "$s->{name}, $o";
        my $d = captured($t->dir . "/$s->{name}-$o.cap");

        my $r = check([map { $_->[1] } @$d], pcr => $s->{gap},
                      rate => $s->{muxrate},
                      flv => $t->dir . "/$s->{file}");

        is(join("\n", @{ $r->{wrong} }), '', "$name: as it should be");
        next unless @{ $r->{pcrs} } > 50;

        note(sprintf '%s: PCR %.2f ms, accuracy %.0f ns, lead %s', $name,
             $r->{gap}, $r->{accuracy}, join ' ', map {
                 sprintf '%x %.0f-%.0f', $_, @{ $r->{lead}{$_} }
             } sort keys %{ $r->{lead} });

        my $from = $d->[0][0] + $SETTLE;
        my @d = grep { $_->[0] >= $from } @$d;
        my @pcrs = grep { $d->[$_->[3]][0] >= $from } @{ $r->{pcrs} };
        my @j = map { $_ / 1000 } jitter($d, \@pcrs);
        my ($five, $rate) = peak(\@d, 5000);
        my ($hundred) = peak(\@d, 100_000);

        # half of all packets: a busy machine may bundle the others

        ($peak{$s->{name}}{$o}) = peak(\@d, 5000, .5);

        note(sprintf '%s: PCRs %.1f, %.1f, %.1f ms late (p50, p95, most), '
             . '%.2f Mbit/s over 5 ms, %.3f over 100 ms, %.3f in all', $name,
             @j[$#j * .5, $#j * .95, $#j], map { $_ / 1e6 }
             $five, $hundred, $rate);

        # from the middle, so that an early one does not count for all

        my $off = max(map { abs $j[$#j * $_] - $j[$#j * .5] } .25, .75);

        cmp_ok($off, '<', 20, "$name: PCRs arrive when they should")
            if $o ne 'off' && $o ne 'slt';

        if ($s->{muxrate}) {
            cmp_ok($r->{nulls}, '>', 0, "$name: null packets");

            # may be late at either end

            my $span = ($d[-1][0] - $d[0][0]) / 1e6;
            my $most = 1e-4 + 0.3 / $span;

            cmp_ok(abs($rate / $s->{muxrate} - 1), '<', $most,
                   sprintf '%s: %.0f bit/s', $name, $rate);

        } else {
            is($r->{nulls}, 0, "$name: no null packets");
        }

        if ($s->{maxrate}) {

            # those that were late come with the next ones

            my ($most) = peak(\@d, 100_000, .5);

            cmp_ok($most, '<', $s->{maxrate} * 1.05,
                   "$name: not above the rate");
        }
    }
}

# a picture is spread over the time until the next one

for my $name (qw/ plain slow fast /) {
    cmp_ok($peak{$name}{$_} * 1.5, '<', $peak{$name}{off},
           sprintf '%s: %s smooths %.1f to %.1f Mbit/s', $name, $_,
           $peak{$name}{off} / 1e6, $peak{$name}{$_} / 1e6) for qw/ rtp udp /;
}

$t->finish;
done_testing();
