#!/usr/bin/perl

# What a publisher sends is counted, carried or left out, and never more.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use IO::Socket::IP;
use Test::More;
use Time::HiRes qw/ sleep /;
use MC;
use MC::Media qw/ sample /;
use MC::Rtmp qw/ publish event /;


my $t = MC->new(
    rtmp => 'server { listen 127.0.0.1:%%rtmp%%;'
            . ' application live { live on; } }',
    flows => 'mc_flow a { mc_source rtmp:///live/a;'
             . ' mc_output o udp://127.0.0.1:%%out%%; }');

# AMF0, and a message in chunks of 128 bytes

sub str { pack 'C n a*', 2, length $_[0], $_[0] }
sub num { "\0" . pack 'd>', $_[0] }

sub message {
    my ($s, $csid, $time, $type, $id, $body) = @_;

    my $out = pack('C', $csid) . substr(pack('N', $time), 1)
        . substr(pack('N', length $body), 1) . pack('C V', $type, $id)
        . substr($body, 0, 128, '');

    $out .= pack('C', 0xc0 | $csid) . substr($body, 0, 128, '')
        while length $body;

    return defined syswrite $s, $out;
}

# "wait", seconds after each command

sub session {
    my ($name, $wait) = @_;

    my $s = IO::Socket::IP->new(PeerHost => '127.0.0.1',
                                PeerPort => $t->port('rtmp')) or die;

    syswrite $s, "\3" . "\0" x 8 . 'x' x 1528;

    for (my $n = 0; $n < 1 + 2 * 1536; ) {
        my $r = sysread $s, my $buf, 1 + 2 * 1536 - $n or last;
        $n += $r;
    }

    syswrite $s, 'y' x 1536;

    message($s, 3, 0, 20, 0, str('connect') . num(1) . "\3"
            . pack('n a*', 3, 'app') . str('live') . "\0\0\x09");
    sleep $wait;
    message($s, 3, 0, 20, 0, str('createStream') . num(2) . "\5");
    sleep $wait;
    message($s, 3, 0, 20, 1, str('publish') . num(3) . "\5" . str($name)
            . str('live'));
    sleep $wait;

    return $s;
}

my $s = session('a', 0.2);

$t->wait_for(sub { $t->source('a')->{state} eq 'connected' }, 10, 'published');

srand 7;

my $time = 0;
my $sent = 0;

for my $i (1 .. 6000) {
    my $type = (8, 9, 9, 9, 8, 18, 9)[rand 7];
    my $body = join '', map { chr int rand 256 } 1 .. rand 300;

    # mostly such headers as lead further

    if (length $body > 1) {
        substr($body, 0, 1) = chr((0x17, 0x27, 0xaf, 0x90, 0x91, 0x2f, 0x93,
                                   0x02)[rand 8]) if rand() < 0.8;
        substr($body, 1, 1) = chr int rand 3 if rand() < 0.8;
    }

    $body = str('@setDataFrame') . str('onMetaData') . "\x08\0\0\0\2\0\5width\0"
        . substr $body, 0, rand 20 if $type == 18;

    $time = int rand 0xfffffe if rand() < 0.05;
    $time = ($time + 20) % 0xffffff;

    last unless message($s, $type == 9 ? 5 : 4, $time, $type, 1, $body);
    $sent++;
}

is($sent, 6000, 'all of it was taken');

$t->wait_for(sub { $t->source('a')->{rejected} }, 5, 'some is counted');
event($t, 'a', 'codec_unsupported', 5, 'or told about');

close $s;
$t->wait_for(sub { $t->source('a')->{state} eq 'waiting' }, 5, 'it is gone');

# frames before the answer to "publish"

$s = session('a', 0);
message($s, 6, 40 * $_, 9, 1, "\x17\1\0\0\0" . pack('N', 4) . "\x65abc")
    for 1 .. 50;
close $s;

# one who goes away in between

close session('a', 0) for 1 .. 10;

$t->poll(sub { $t->source('a')->{state} eq 'waiting' }, 5);

sample($t, 'in.flv', seconds => 1);
my $p = publish($t, 'rtmp://127.0.0.1:%%rtmp%%/live/a', 'in.flv');
is($p->wait(20), 0, 'others are not disturbed') or diag($p->err);

$t->finish;
done_testing();
