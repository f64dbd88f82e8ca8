#!/usr/bin/perl

# "pull" of nginx-rtmp, into an application that has a source: other names are
# none of ours.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More;
use MC;
use MC::Media qw/ sample /;
use MC::Rtmp qw/ publish play live /;


my $t = MC->new(rtmp => <<'END', flows => <<'END');
server {
    listen 127.0.0.1:%%rtmp%%;

    application from { live on; }
    application to {
        live on;
        pull rtmp://127.0.0.1:%%rtmp%%/from name=relayed;
    }
}
END
mc_flow own { mc_source rtmp:///to/own; mc_output o udp://127.0.0.1:%%o%%; }
END

my $url = 'rtmp://127.0.0.1:%%rtmp%%';

sample($t, 'in.flv', seconds => 2);

my $from = publish($t, "$url/from/relayed", 'in.flv', loop => 20);
my $player = play($t, "$url/to/relayed", 'out.flv', tool => 'ffmpeg',
                  seconds => 2);

is($player->wait(30), 0, 'what nginx-rtmp pulls can be played')
    or diag($player->err);
cmp_ok(-s $t->dir . '/out.flv' || 0, '>', 10000, 'and has media');

is($t->source('own')->{rejected}, 0, 'nobody was refused');

my $p = publish($t, "$url/to/nobody", 'in.flv');
isnt($p->wait(10), 0, 'others still may not publish an unknown name');
like($p->err, qr/is not known/, 'and are told so');

$p = publish($t, "$url/to/own", 'in.flv');
ok(live($t, 'own'), 'the source has its publisher');

$p->stop;

$from->stop;

$t->finish;
done_testing();
