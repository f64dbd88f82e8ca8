#!/usr/bin/perl

# Who may publish to a source that listens, what an encoder is told if it may
# not, and which publisher a source has.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use IO::Select;
use IO::Socket::IP;
use Test::More;
use Time::HiRes qw/ sleep time /;
use MC;
use MC::Media qw/ sample record same_media /;
use MC::Rtmp qw/ publish connected live event /;


my $t = MC->new(rtmp => <<'END', flows => <<'END');
access_log %%DIR%%/rtmp.log;
server {
    listen 127.0.0.1:%%rtmp%%;
    listen 127.0.0.1:%%proxied%% proxy_protocol;
    notify_method get;

    application live {
        live on;
        on_publish http://127.0.0.1:%%http%%/notify;
    }

    application bare { }
    application other { live on; }
}
END
mc_flow open { mc_source rtmp:///live/open; mc_output o udp://127.0.0.1:%%o%%; }
mc_flow key  { mc_source rtmp:///live/key key=Open-5esame;
               mc_output o udp://127.0.0.1:%%o2%%; }
mc_flow far  { mc_source rtmp:///live/far allow=192.0.2.0/24;
               mc_output o udp://127.0.0.1:%%o3%%; }
mc_flow bare { mc_source rtmp:///bare/b; mc_output o udp://127.0.0.1:%%o4%%; }
mc_flow off  { mc_state off; mc_source rtmp:///live/off;
               mc_output o udp://127.0.0.1:%%o5%%; }
mc_flow slow { mc_source rtmp:///live/slow max_bandwidth=100k;
               mc_max_bandwidth 100k exceed=disconnect;
               mc_output o udp://127.0.0.1:%%o6%%; }
mc_flow out  { mc_source udp://127.0.0.1:%%in%%;
               mc_output o rtmp:///live/played allow=all; }
END

$t->reload(http_conf => 'location /notify { access_log %%DIR%%/notify.log;'
                        . ' return 200; }');

my $url = 'rtmp://127.0.0.1:%%rtmp%%';

sample($t, 'in.flv', seconds => 2);
sample($t, 'long.flv', seconds => 12);
sample($t, 'opus.flv', seconds => 2, args => [qw/ -c:v flv1 -b:v 200k /]);

# accepted, in whole

for my $tool (qw/ ffmpeg gst /) {
    my $out = record($t, 'udp://127.0.0.1:%%o%%', "$tool.ts");
    my $p = publish($t, "$url/live/open", 'in.flv', tool => $tool);

    is($p->wait(20), 0, "$tool has published") or diag($p->err);
    $t->poll(sub { $t->source('open')->{state} eq 'waiting' }, 5);
    sleep 0.3;
    $out->stop;

    same_media($t, 'in.flv', "$tool.ts", name => "$tool: all of it");
}

is($t->source('open')->{connections}, 2, 'connections are counted');
is($t->source('open')->{disconnections}, 2, 'and those that have ended');
event($t, 'open', 'connected', 5, 'an event tells of one');

my $p = publish($t, "$url/bare/b", 'in.flv');
ok(live($t, 'bare'), 'an application without "live on"');
is($p->wait(20), 0, 'has publishers too') or diag($p->err);

# refused

sub refused {
    my ($name, $say, %o) = @_;

    my $p = publish($t, ($o{url} || $url) . "/$name", 'in.flv');

    isnt($p->wait(10), 0, "$name: refused");
    like($p->err, $say, "$name: and told why");

    return $p;
}

sub rejected {
    my ($flow, $code) = @_;

    event($t, $flow, $code, 5, "$flow: $code");
    ok($t->source($flow)->{rejected}, "$flow: counted");
}

refused('live/key', qr/needs a key/);
refused('live/key?key=', qr/another key/);
refused('live/key?key=Open-5esam', qr/another key/);
refused('live/key?x=1&key=open-5esame&y=2', qr/another key/);
rejected('key', 'rejected_key');

refused('live/far', qr/not for this address/);
rejected('far', 'rejected_address');

refused('live/nobody?key=Open-5esame', qr/"nobody" is not known/);
rejected('far', 'rejected_streamid');

refused('live/off', qr/is stopped/);
refused('live/played', qr/players only/);

$p = publish($t, "$url/other/anything", 'in.flv');
is($p->wait(20), 0, 'applications without sources are left alone');

# the right key

$p = publish($t, "$url/live/key?a=1&key=%4fpen-5esame&b=2", 'in.flv');
ok(live($t, 'key'), 'the right key');
is($p->wait(20), 0, 'is let in') or diag($p->err);

my $notes = $t->read_file('notify.log');

like($notes, qr/name=key\S*&a=1&b=2/, 'on_publish is told the other arguments');

for my $file (qw/ notify.log error.log rtmp.log /) {
    unlike($t->read_file($file), qr/(?:O|%4f)pen-5esame/i,
           "no key in $file");
}

unlike($t->get('')->{content}, qr/5esame/, 'nor in the status');

# what cannot be used

$p = publish($t, "$url/live/open", 'opus.flv');
event($t, 'open', 'codec_unsupported', 10, 'a codec that cannot be carried');
$p->wait(20);

$p = publish($t, "$url/live/slow", 'long.flv', speed => 4);
isnt($p->wait(15), 0, 'too much is disconnected');
event($t, 'slow', 'bandwidth_exceeded', 5, 'and told');
refused('live/slow', qr/bandwidth/);


# A publisher behind a proxy that says where it is: by a line, then bytes

sub proxy {
    my ($address) = @_;

    my $l = IO::Socket::IP->new(LocalHost => '127.0.0.1', Listen => 5)
        or die "listen: $!";

    my $to = $t->port('proxied');

    $t->background('proxy', sub {
        my ($ended) = @_;
        my ($s, %other, $in);
        my $sel = IO::Select->new($l);

        until ($ended->()) {
            for my $fh ($sel->can_read(0.2)) {
                if ($fh == $l) {
                    $in = $l->accept or next;
                    $s = IO::Socket::IP->new(PeerHost => '127.0.0.1',
                                             PeerPort => $to) or next;
                    syswrite $s, "PROXY TCP4 $address 127.0.0.1 4000 1935\r\n";
                    $other{$s} = $in;
                    $other{$in} = $s;
                    $sel->add($s, $in);
                    next;
                }

                my $n = sysread $fh, my $buf, 65536;
                my $peer = $other{$fh};

                if (!$n) {
                    $sel->remove($fh, $peer);
                    close $_ for $fh, $peer;
                    next;
                }

                while (length $buf) {
                    my $w = syswrite $peer, $buf or last;
                    substr($buf, 0, $w) = '';
                }
            }
        }

        return {};
    });

    return 'rtmp://127.0.0.1:' . $l->sockport;
}

my $near = proxy('192.0.2.7');
my $other = proxy('198.51.100.7');

refused('live/far', qr/not for this address/, url => $other);

$p = publish($t, "$near/live/far", 'long.flv');
ok(live($t, 'far'), 'the address that a proxy tells counts');
like($t->source('far')->{peer}, qr/^192\.0\.2\.7/, 'and is shown');
$p->stop;

# one publisher at a time

$p = publish($t, "$near/live/open", 'long.flv');
ok(live($t, 'open'), 'a publisher');

my $n = $t->source('open')->{connections};
my $second = publish($t, "$other/live/open", 'in.flv');
isnt($second->wait(10), 0, 'a second one from elsewhere is refused');
like($second->err, qr/has a publisher/, 'and told why');
rejected('open', 'rejected_busy');
ok($p->running, 'the first goes on');

$second = publish($t, "$near/live/open", 'long.flv');
$t->wait_for(sub { $t->source('open')->{connections} == $n + 1 }, 10,
             'one of the same address takes its place');
$t->wait_for(sub { defined $p->wait(0.1) }, 10, 'the first is disconnected');
ok($second->running, 'the second is not');

# one that says nothing is replaced by anybody

$second->signal('STOP');
kill 'STOP', $t->can('_children') ? $t->_children($second->pid) : ();
sleep 2.5;

my $third = publish($t, "$other/live/open", 'in.flv');
$t->wait_for(sub { $t->source('open')->{connections} == $n + 2 }, 10,
             'one from elsewhere takes the place of a silent one');
is($third->wait(20), 0, 'and publishes') or diag($third->err);

kill 'CONT', $t->can('_children') ? $t->_children($second->pid) : ();
$second->signal('CONT');
$second->stop;

# encoders that come back at once get in at the first try

my $failed = 0;

for (1 .. 5) {
    $p = publish($t, "$url/live/open", 'long.flv');
    live($t, 'open');
    $p->signal('KILL');
    kill 'KILL', $t->can('_children') ? $t->_children($p->pid) : ();

    $second = publish($t, "$url/live/open", 'long.flv');
    my $ok = $t->poll(sub {
        my $s = $t->source('open');
        $s->{state} eq 'connected' && $s->{bytes}
    }, 5);
    $failed++ unless $ok && $second->running;
    $second->stop;
}

is($failed, 0, 'who was cut off comes back at the first try');

# another key by reload is for those who come, or ends who had the old one

$p = publish($t, "$url/live/key?key=Open-5esame", 'long.flv');
ok(live($t, 'key'), 'a publisher with a key');

(my $flows = $t->{flows}) =~ s/Open-5esame/Close-5esame/;
$t->reload(flows => $flows);

refused('live/key?key=Open-5esame', qr/another key/);

# who is there is looked at again within a second: the next two are enough

my $seen = $t->source('key')->{bytes};
$t->wait_for(sub { $t->source('key')->{bytes} > $seen + 200_000 }, 20,
             'who publishes stays when the key is another');
ok($p->running, 'and is the same');

$flows =~ s/key=Close-5esame/key=Third-5esame rekey=disconnect/;
$t->reload(flows => $flows);

isnt($p->wait(8), undef, 'or ends, with rekey=disconnect');

$t->finish;
done_testing();
