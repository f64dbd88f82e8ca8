#!/usr/bin/perl

# A binary upgrade with live RTMP: publishers and players stay with the old
# master's workers until these are told to go; then they are cut off, and who
# comes again is with the new ones.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More;
use Time::HiRes qw/ sleep time /;
use MC;
use MC::Media qw/ sample record same_media /;
use MC::Rtmp qw/ publish play rtmp_server connected live /;

my $server = rtmp_server();

my $t = MC->new(workers => 2, daemon => 1, flows => <<"END",
mc_flow a {
    mc_source  rtmp:///live/a;
    mc_output  play  rtmp:///live/out;
    mc_output  udp   udp://127.0.0.1:%%udp%%;
    mc_output  push  @{[ $server->rtmp_url('pushed') ]};
}
END
    rtmp => 'server { listen 127.0.0.1:%%rtmp%%; chunk_size 4096;'
            . ' application live { live on; } }');

my $url = 'rtmp://127.0.0.1:%%rtmp%%/live';
my $in = sample($t, 'in.flv', seconds => 60, size => '160x90', rate => '100k',
                bframes => 2);

connected($t, 'a', 'push');

my $udp = record($t, 'udp://127.0.0.1:%%udp%%', 'udp.ts');
my $pub = publish($t, "$url/a", $in);
ok(live($t, 'a'), 'live');

my $player = play($t, "$url/out", 'play.flv', tool => 'gst');
$t->wait_for(sub { @{ $t->output('a', 'play')->{peers} } }, 10, 'a player');

my @old = $t->worker_pids;
my ($new_master, $old_master) = $t->upgrade;

sleep 3;

$t->master($old_master);

my $f = $t->flow('a');

ok($pub->running && $player->running, 'who is there stays');
is($f->{sources}[0]{state}, 'connected', 'the old workers go on');
is(join(' ', map { $_->{connections} } @{ $f->{sources} }, @{ $f->{outputs} }),
   '1 1 1 1', 'in the same connections');

$t->master($new_master);
is($t->source('a')->{state}, 'connecting', 'the new ones wait');

# the old ones are told to go

my $at = time();

kill 'WINCH', $old_master;

$t->wait_for(sub {
    my $s = $t->source('a');
    $s && $s->{state} eq 'waiting'
}, 10, 'the flow is in a new worker');
diag(sprintf 'after %.0f ms', 1000 * (time() - $at));

isnt($pub->wait(15), undef, 'the publisher is cut off');
diag(sprintf 'after %.0f ms: %s', 1000 * (time() - $at), $pub->err);
isnt($player->wait(15), undef, 'and the player');

$t->wait_for(sub { !grep { MC::alive($_) } @old }, 15, 'the old workers leave');

$udp->stop;
same_media($t, $in, 'udp.ts', min => 50, name => 'nothing was lost until then');
same_media($t, $in, 'play.flv', min => 50, name => 'at the player either');

my $again = publish($t, "$url/a", $in);
ok(live($t, 'a'), 'who comes again is with the new ones');
connected($t, 'a', 'push');

kill 'QUIT', $old_master;
$t->wait_for(sub { !MC::alive($old_master) }, 10, 'the old master ends');
ok($again->running, 'which nobody notices');

$t->wait_for(sub { $t->source('a')->{bitrate} }, 5, 'live');
$again->stop;

$server->finish;
$t->finish;
done_testing();
