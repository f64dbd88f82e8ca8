#!/usr/bin/env perl

# Players of flows: HEVC, which nginx-rtmp does not know, rtmp_stat, and who is
# refused or cut.

use strict;
use warnings;

use FindBin;
use HTTP::Tiny;
use lib "$FindBin::Bin/lib";

use MC;
use MC::Media qw/ sample feed record same_media /;
use MC::Rtmp qw/ play connected event /;
use Test::More;
use Time::HiRes qw/ sleep /;

my $flows = <<'END';
mc_flow b {
    mc_source udp://127.0.0.1:%%udp%%;
    mc_output o rtmp:///plain/b allow=127.0.0.0/8;
}
mc_flow c {
    mc_source udp://127.0.0.1:%%none%%;
    mc_output few rtmp:///plain/few allow=127.0.0.0/8 max_peers=1;
    mc_output far rtmp:///plain/far allow=192.0.2.0/24;
}
END

my $t = MC->new(workers => 2, flows => $flows, start => 0,
                http_conf => 'location /stat { rtmp_stat all; }',
                rtmp => <<'END');
server {
    listen 127.0.0.1:%%rtmp%%;

    application plain {
        live on;
    }
}
END

sample($t, 'hevc.ts', seconds => 9, video => 'hevc', gop => 25);

$t->start;

my $url = 'rtmp://127.0.0.1:%%rtmp%%';
my $feed;


# HEVC, which nginx-rtmp does not know, with wait_key; played by a flow

$feed = feed($t, 'hevc.ts', 'udp://127.0.0.1:%%udp%%');
connected($t, 'b');

sleep 2.3;

my $hevc = record($t, 'udp://127.0.0.1:%%ts%%', 'out.ts');
$t->reload(flows => $flows .= <<'END');
mc_flow d {
    mc_source rtmp://127.0.0.1:%%rtmp%%/plain/b;
    mc_output ts udp://127.0.0.1:%%ts%%;
}
END

my $stat = '';
$t->wait_for(sub {
    $stat = HTTP::Tiny->new->get($t->expand('http://127.0.0.1:%%http%%/stat'))
            ->{content};
    return $stat =~ m!<name>b</name>!;
}, 10, 'rtmp_stat lists the stream');

$feed->wait(30);
sleep 1;
$hevc->stop;

same_media($t, 'hevc.ts', 'out.ts', name => 'HEVC', whole_end => 0);


# who may not

my $first = play($t, "$url/plain/few", 'few1.flv');
$t->wait_for(sub { @{ $t->output('c', 'few')->{peers} } == 1 }, 10,
             'the one that max_peers lets in');

my $second = play($t, "$url/plain/few", 'few2.flv');
$second->wait(10);
ok($first->running, 'stays');

my $far = play($t, "$url/plain/far", 'far.flv');
$far->wait(10);
event($t, 'c', 'rejected_address', 10, 'an event of a refused address');
is($t->output('c', 'far')->{rejected}, 1, 'and counted');
is($t->output('c', 'few')->{rejected}, 1, 'one too many is counted');

# a change of allow= while it plays

$t->reload(flows => $flows =~ s/(few allow=)127.0.0.0/${1}192.0.2.0/r);
$first->wait(10);
$t->wait_for(sub { @{ $t->output('c', 'few')->{peers} } == 0 }, 10,
             'a player no longer allowed is cut');

$t->finish;

done_testing();
