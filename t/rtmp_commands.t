#!/usr/bin/perl

# Commands in an order that no encoder and no player sends them in.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use IO::Socket::IP;
use Test::More;
use Time::HiRes qw/ sleep /;
use MC;


# sessions are closed in between

$SIG{PIPE} = 'IGNORE';

my $t = MC->new(
    rtmp => 'server { listen 127.0.0.1:%%rtmp%%;'
            . ' application in { live on; }'
            . ' application out { live on; } }',
    flows => 'mc_flow a { mc_source rtmp:///in/a;'
             . ' mc_output o rtmp:///out/a; }');

# AMF0

sub str { pack 'C n a*', 2, length $_[0], $_[0] }
sub num { "\0" . pack 'd>', $_[0] }

sub command {
    my ($s, $stream, $name, @args) = @_;

    my $body = str($name) . num(1) . join '', @args;

    syswrite $s, pack('C', 3) . "\0\0\0" . substr(pack('N', length $body), 1)
        . pack('C V', 20, $stream) . $body;
}

sub session {
    my ($app) = @_;

    my $s = IO::Socket::IP->new(PeerHost => '127.0.0.1',
                                PeerPort => $t->port('rtmp')) or die;

    syswrite $s, "\3" . "\0" x 8 . 'x' x 1528;

    for (my $n = 0; $n < 1 + 2 * 1536; ) {
        my $r = sysread $s, my $buf, 1 + 2 * 1536 - $n or last;
        $n += $r;
    }

    syswrite $s, 'y' x 1536;

    command($s, 0, 'connect',
            "\3" . pack('n a*', 3, 'app') . str($app) . "\0\0\x09");
    command($s, 0, 'createStream', "\5");

    return $s;
}

sub publish { command($_[0], 1, 'publish', "\5", str($_[1]), str('live')) }
sub play    { command($_[0], 1, 'play', "\5", str($_[1])) }
sub shut    { command($_[0], 0, $_[1], "\5", num(1)) }

my %orders = (
    'a player that publishes'    => [ \&play, \&publish ],
    'a publisher that plays'     => [ \&publish, \&play ],
    'a publisher that repeats'   => [ \&publish, \&publish, \&publish ],
    'a player that repeats'      => [ \&play, \&play, \&publish, \&play ],
    'one that closes in between' => [
        \&publish, sub { shut($_[0], 'closeStream') }, \&publish,
        sub { shut($_[0], 'deleteStream') }, \&play,
        sub { shut($_[0], 'closeStream') }, \&publish, \&play ],
);

for my $what (sort keys %orders) {
    for my $app ('in', 'out') {
        for my $wait (0, 0.2, 0.8) {

            my $s = session($app);

            for my $command (@{ $orders{$what} }) {
                $command->($s, 'a');
                select undef, undef, undef, $wait ? 0.05 : 0;
            }

            sleep $wait;
            close $s;
        }

        # longer than what refused publishers have to read why

        ok($t->poll(sub { @{ $t->output('a', 'o')->{peers} } == 0 }, 5),
           "$what in \"$app\" is gone");
    }
}

sleep 0.7;

ok($t->poll(sub { $t->source('a')->{state} eq 'waiting' }, 5),
   'nobody publishes');

my $s = session('in');
publish($s, 'a');
ok($t->poll(sub { $t->source('a')->{state} eq 'connected' }, 5),
   'but may again');
close $s;

$t->finish;
done_testing();
