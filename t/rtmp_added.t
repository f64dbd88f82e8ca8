#!/usr/bin/perl

# A reload adds an output of a transport stream to a flow whose RTMP publisher
# is there already, and a publisher that copies AAC from TS: its configuration
# comes behind the first key frame, and nothing is lost for that.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use MC;
use MC::Media qw/ sample convert record same_media /;
use MC::Rtmp qw/ publish /;

my $flow = <<'END';
mc_flow added {
    mc_source  rtmp:///live/in;
    mc_output  first  udp://127.0.0.1:%%first%%;
END

# that flow makes no transport stream at first

my $only = <<'END';
mc_flow late {
    mc_source  rtmp:///live/late;
    mc_output  play  rtmp:///live/late-out;
END

my $t = MC->new(workers => 1, flows => "$flow}\n$only}\n",
                rtmp => 'server { listen 127.0.0.1:%%rtmp%%;'
                        . ' application live { live on; } }');

my $in = convert($t, sample($t, 'in.ts', seconds => 8, bframes => 2),
                 'in.flv');

my $first = record($t, 'udp://127.0.0.1:%%first%%', 'first.ts');
my $second = record($t, 'udp://127.0.0.1:%%second%%', 'second.ts');

my @publish = map {
    publish($t, "rtmp://127.0.0.1:%%rtmp%%/live/$_", $in)
} qw/ in late /;

$t->wait_for(sub {
    my $s = $t->source('late');
    ($s->{packets} || 0) > 20
}, 10, 'both are published');

$t->reload(flows => "$flow}\n${only}    mc_output  second"
                    . "  udp://127.0.0.1:%%second%%;\n}\n");

is($_->wait(30), 0, 'was published') for @publish;

$t->poll(sub { 0 }, 1.5);
$_->stop for $first, $second;

same_media($t, $in, 'first.ts', min => 190, name => 'from the first picture');
same_media($t, $in, 'second.ts', min => 60, name => 'an output that was added');

$t->finish;
done_testing();
