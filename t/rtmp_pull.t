#!/usr/bin/perl

# Sources that play from a remote RTMP server: what is played is what was
# published, streams that are not there or end are asked for again; reloads
# that bring or take rtmp{}, workers that leave.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More;

use MC;
use MC::Media qw/ sample same_media /;
use MC::Rtmp qw/ publish rtmp_server connected event /;


my $server = rtmp_server(rtmp => <<'END_RTMP');
server {
    listen 127.0.0.1:%%strict%%;
    application live { live on; idle_streams off; }
}
END_RTMP

my $strict = $server->port('strict');
my $in = $server->rtmp_url('in');
my $out = $server->rtmp_url('out');
my $rtmp = 'server { listen 127.0.0.1:%%local%%; application a { live on; } }';

my $one = <<"END_FLOWS";
mc_flow one {
    mc_source $in;
    mc_output o $out;
}
mc_flow missing {
    mc_source rtmp://127.0.0.1:$strict/live/missing?key=hush-hush;
    mc_output o udp://127.0.0.1:%%udp%%;
}
mc_flow silent {
    mc_source @{[ $server->rtmp_url('silent') ]};
    mc_output o udp://127.0.0.1:%%udp2%%;
}
END_FLOWS

my $t = MC->new(rtmp => $rtmp, flows => $one,
                main => 'worker_shutdown_timeout 3s;');

my $file = sample($t, 'in.flv', seconds => 10, bframes => 2);

ok($t->poll(sub { ($t->source('one') || {})->{state} eq 'connecting' }, 20),
   'nothing is played yet');

my $publisher = publish($t, $in, $t->dir . "/$file");

connected($t, 'one');
connected($t, 'one', 'o');

my $e = event($t, 'missing', 'rtmp_refused', 10, 'a missing stream: told');
like($e->{message}, qr/^"play" refused: NetStream\.Play\.StreamNotFound/,
     'a missing stream: why');

$t->poll(sub { $t->source('one')->{rtmp}{frames} >= 100 }, 20);

my $s = $t->source('one');
is($s->{rtmp}{video_codec_id}, 7, 'H.264');
is($s->{rtmp}{audio_codec_id}, 10, 'AAC');
is($s->{rtmp}{metadata}{width}, 640, 'metadata');
cmp_ok($s->{rtmp}{chunk_size}, '>', 128, 'chunk size of the server');
is($s->{peer}, '127.0.0.1:' . $server->port('rtmp'), 'address of the server');

is($publisher->wait(30), 0, 'all was published');

$e = event($t, 'silent', 'connect_failed', 15, 'a silent stream: told');
like($e->{message}, qr/^nothing was played within 10 s/, 'a silent stream: why');

# the stream is gone, but for the server not the player

$e = event($t, 'one', 'disconnected', 15, 'the end: told');
like($e->{message}, qr{^the stream has ended},
     'the end: why');

my $recorded = $server->recorded($t, 'out');
same_media($t, $file, $recorded, min => 100, name => 'what was played');


# the source connects again; rtmp{} goes away meanwhile, and comes back

for my $text ('', $rtmp, '') {
    my $what = $text ? 'with rtmp{}' : 'without rtmp{}';

    my $flows = $one . <<"END_FLOWS";
mc_flow two {
    mc_source @{[ $server->rtmp_url('again') ]};
    mc_output o @{[ $server->rtmp_url($text ? 'two' : 'three') ]};
}
END_FLOWS

    $t->write_conf(rtmp => $text, flows => $flows);
    $t->reload;

    my $again = publish($t, $server->rtmp_url('again'), $t->dir . "/$file");

    connected($t, 'two');
    connected($t, 'two', 'o');

    my $frames = $t->output('two', 'o')->{rtmp}{frames};

    ok($t->poll(sub {
           $t->output('two', 'o')->{rtmp}{frames} > $frames + 30
       }, 20), "frames $what");

    # flows that were live keep their worker no longer than it may take

    $t->write_conf(rtmp => $text, flows => $one);
    $t->reload;
    ok($t->poll(sub { !$t->exiting_pids }, 15), "old workers left $what");

    $again->stop;
}

unlike($t->read_file('error.log'), qr/hush/, 'the key is not logged');

$t->stop;
$server->finish;
$t->finish;
done_testing();
