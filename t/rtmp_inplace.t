#!/usr/bin/perl

# A live flow of RTMP is changed by reloads, and its worker or that of the
# publisher dies or has to leave: who is not concerned stays connected and loses
# nothing, who is, is cut off.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More;
use Time::HiRes qw/ sleep time /;
use MC;
use MC::Media qw/ sample packets feed record same_media /;
use MC::Rtmp qw/ publish play rtmp_server connected live event /;

my $server = rtmp_server();

my %part = (
    title  => '',
    source => 'rtmp:///live/a  key=First-1',
    play   => 'rtmp:///live/out',
    udp    => '',
    push   => '',
    more   => '',
    main   => '',
);

sub flows {
    %part = (%part, @_);

    return "$part{main}\nmc_flow a {\n    $part{title}\n"
        . "    mc_source  $part{source};\n"
        . join('', map { $part{$_} ? "    mc_output  $_  $part{$_};\n" : '' }
                   qw/ play udp push more /)
        . "}\n";
}

my $t = MC->new(workers => 4, limit => 150, flows => flows(),
    rtmp => 'server { listen 127.0.0.1:%%rtmp%%; chunk_size 4096;'
            . ' application live { live on; } }');

my $url = 'rtmp://127.0.0.1:%%rtmp%%/live';
my $in = sample($t, 'in.flv', seconds => 70, size => '320x180',
                rate => '200k', bframes => 2);

# until the publisher is in another worker than the flow

my ($pub, $pid);

sub owner { ($t->flow('a') || {})->{pid} || 0 }

sub session {
    my ($what, $name) = @_;
    my @all = $t->log =~ /\[info\] (\d+)#\d+: \*\d+ $what: name='$name'/g;
    return $all[-1] || 0;
}

sub start {
    my ($key, %o) = @_;

    for (1 .. 12) {
        my $n = () = $t->log =~ / publish: name='a'/g;

        $pub = publish($t, "$url/a?key=$key", $in);
        $t->poll(sub {
            my $now = () = $t->log =~ / publish: name='a'/g;
            $now > $n
        }, 10);
        live($t, 'a') or next;

        return 1 if session('publish', 'a') != owner();

        $pub->stop;
        $t->poll(sub { $t->source('a')->{state} eq 'waiting' }, 10);
    }

    diag('publisher and flow are always in one worker');
}

start('First-1');
ok(live($t, 'a'), 'live');

my $player = play($t, "$url/out", 'play.flv', tool => 'gst');
$t->wait_for(sub { @{ $t->output('a', 'play')->{peers} } }, 10, 'a player');

# outputs that are there from here on: with the frames of this publisher only

my $udp = record($t, 'udp://127.0.0.1:%%udp%%', 'udp.ts');

is(($t->reload(flows => flows(udp => 'udp://127.0.0.1:%%udp%%',
                              push => $server->rtmp_url('pushed'))))[0], 0,
   'two outputs more');
connected($t, 'a', 'push');
$t->wait_for(sub { $t->output('a', 'udp')->{packets} }, 10,
             'which have something to send');

my %first = map { $_ => $t->status->{flows}{a}{pid} } 'owner';
my %conn = map { $_->{name} => $_->{connections} }
           @{ $t->flow('a')->{sources} }, @{ $t->flow('a')->{outputs} };


# a change that concerns none of these

sub change {
    my ($what, $done, @parts) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my %before = map { $_->{name} => $_->{packets} }
                 @{ $t->flow('a')->{sources} }, @{ $t->flow('a')->{outputs} };

    my ($exit, $out) = $t->reload(flows => flows(@parts));
    is($exit, 0, "$what: taken") or diag($out);
    $t->wait_for($done, 5, "$what: in force") or diag(explain($t->flow('a')));

    my $f = $t->flow('a');

    is($f->{pid}, $first{owner}, "$what: the flow stays where it is");

    my @wrong = map { "$_->{name}: $_->{connections}, was $conn{$_->{name}}" }
                grep { $conn{$_->{name}}
                       && $conn{$_->{name}} != $_->{connections} }
                @{ $f->{sources} }, @{ $f->{outputs} };

    is("@wrong", '', "$what: nobody connects anew");

    $t->poll(sub {
        !grep { $conn{$_->{name}} && $_->{packets} <= $before{$_->{name}} }
             @{ $t->flow('a')->{sources} }, @{ $t->flow('a')->{outputs} }
    }, 5);

    my $s = $t->source('a');
    ok($s->{state} eq 'connected' && $pub->running, "$what: still live");
}

change('an output more', sub { ($t->output('a', 'more') || {})->{state} },
       more => 'rtmp:///live/more');

my $second = play($t, "$url/more", 'more.flv', tool => 'gst');
$t->wait_for(sub { @{ $t->output('a', 'more')->{peers} } }, 10,
             'a player of the new output');

change('an output off', sub { $t->output('a', 'more')->{state} eq 'stopped' },
       more => 'rtmp:///live/more  off');
isnt($second->wait(10), undef, 'its player was cut off');

change('an output on', sub { $t->output('a', 'more')->{state} eq 'waiting' },
       more => 'rtmp:///live/more');
change('an output less', sub { !$t->output('a', 'more') }, more => '');

change('a title', sub { ($t->flow('a')->{title} || '') eq 'new' },
       title => 'mc_title new;');

change('descriptions', sub {
           ($t->output('a', 'play')->{description} || '') eq 'players'
           && ($t->source('a')->{description} || '') eq 'studio'
       },
       source => 'rtmp:///live/a  key=First-1  description=studio',
       play => 'rtmp:///live/out  description=players');

my $stranger = play($t, "$url/out", 'stranger.flv', tool => 'gst');
$t->wait_for(sub { @{ $t->output('a', 'play')->{peers} } == 2 }, 10,
             'another player');
$conn{play}++;

change('another key, rekey=keep', sub { 1 },
       source => 'rtmp:///live/a  key=Second-2  rekey=keep');

# the old key is no longer good for others

my $other = publish($t, "$url/a?key=First-1", $in);
isnt($other->wait(10), 0, 'another with the old key is refused');
like($other->err, qr/another key/, 'and told why');

ok($pub->running, 'the first publisher stays');


# who may play

is(($t->reload(flows => flows(play => 'rtmp:///live/out allow=192.0.2.0/24')))[0],
   0, 'other players are allowed');
isnt($player->wait(10), undef, 'those that are there are cut off');
isnt($stranger->wait(10), undef, 'all of them');

$player = play($t, "$url/out", 'refused.flv', tool => 'gst');
isnt($player->wait(10), undef, 'and refused from then on');
ok(!-s $t->dir . '/refused.flv', 'without a byte');
ok($t->output('a', 'play')->{rejected}, 'which is counted');

is(($t->reload(flows => flows(play => 'rtmp:///live/out')))[0], 0,
   'anyone may again');
$player = play($t, "$url/out", 'again.flv', tool => 'gst');
$t->wait_for(sub { @{ $t->output('a', 'play')->{peers} } }, 10, 'and does');

is(owner(), $first{owner}, 'the flow is where it was');
is($t->source('a')->{connections}, $conn{source}, 'with its publisher');


# the one who publishes has to go

is(($t->reload(flows => flows(
    source => 'rtmp:///live/a  key=Third-3  rekey=disconnect')))[0], 0,
   'another key, rekey=disconnect');
isnt($pub->wait(10), undef, 'the publisher is cut off');
$t->wait_for(sub { $t->source('a')->{state} eq 'waiting' }, 5,
             'the source waits');

sleep 0.5;
$udp->stop;

for my $file ('udp.ts', $server->recorded($t, 'pushed')) {
    same_media($t, $in, $file, min => 100, name => "$file: all until then");
}

same_media($t, $in, 'play.flv', min => 100, name => 'the player had all');


# to SRT and back: who plays and the server to which it pushes stay

ok($player->running, 'the player waits');

my $o = $t->output('a', 'push');
my $pushes = $o->{connections};
my $peer = $t->output('a', 'play')->{peers}[0]{id};

is(($t->reload(flows => flows(source => 'srt://:%%srt%%')))[0], 0,
   'a source of SRT');

my $ts = sample($t, 'ts.ts', seconds => 8, size => '320x180', rate => '200k',
                bframes => 2);
my $feed = feed($t, $ts, 'srt://127.0.0.1:' . $t->port('srt'));

connected($t, 'a');

$t->wait_for(sub {
    my $f = $t->flow('a');
    my ($p) = grep { $_->{name} eq 'play' } @{ $f->{outputs} };
    $p->{tracks}[0] && $p->{peers}[0] && $p->{peers}[0]{bitrate}
}, 10, 'what comes is played');

is($t->output('a', 'push')->{connections}, $pushes, 'pushed in one connection');
is($t->output('a', 'play')->{peers}[0]{id}, $peer, 'played in one')
    or diag(explain($t->output('a', 'play')));

$feed->wait(20);

is(($t->reload(flows => flows(source => 'rtmp:///live/a  key=Third-3')))[0],
   0, 'a source of RTMP again');

start('Third-3');
ok(live($t, 'a'), 'live again');

$t->wait_for(sub {
    my $p = $t->output('a', 'play');
    $p->{peers}[0] && $p->{peers}[0]{bitrate}
}, 10, 'played');

is($t->output('a', 'push')->{connections}, $pushes, 'pushed in one connection')
    or diag(explain($t->output('a', 'push')));
is($t->output('a', 'play')->{peers}[0]{id}, $peer, 'played in one');

sleep 2;
$player->stop;

my ($v) = grep { $_->{type} eq 'video' } packets($t, 'again.flv');
my @dts = map { $_->{dts} } @{ $v->{packets} };
is(scalar(grep { $dts[$_] <= $dts[$_ - 1] } 1 .. $#dts), 0,
   'its times only ever go forward');

my ($exit, undef, $err) = $t->run(qw/ ffmpeg -v error -nostdin -i again.flv
    -vsync passthrough -f null - /);
is($err, '', 'and all of it decodes');


# deaths

$t->allow(qr/exited on signal 9/);

$player = play($t, "$url/out", 'death.flv', tool => 'gst');
$t->wait_for(sub { my $p = $t->output('a', 'play');
                   $p->{peers}[0] && $p->{peers}[0]{bitrate} }, 10, 'a player');

my $with = session('publish', 'a');
my $plays = session('play', 'out');
my $owner = owner();

SKIP: {
    skip 'all are in one worker', 4 if $with == $owner;

    my $at = time();
    kill 'KILL', $owner;

    $t->wait_for(sub {
        my $f = $t->flow('a') or return 0;
        $f->{pid} && $f->{pid} != $owner
            && $f->{sources}[0]{state} eq 'connected'
            && $f->{sources}[0]{bitrate}
    }, 10, 'the owner dies: another one has the publisher');
    diag(sprintf 'after %.0f ms', 1000 * (time() - $at));

    ok($pub->running, 'who is still connected');

    $t->wait_for(sub {
        my $p = $t->output('a', 'play');
        $p->{peers}[0] && $p->{peers}[0]{bitrate}
    }, 10, 'players have it') if $plays != $owner;

    ok($player->running, 'and stay') if $plays != $owner;
    ($exit, undef, $err) = $t->run(qw/ ffmpeg -v error -nostdin -i death.flv
        -vsync passthrough -f null - /);
    is($err, '', 'what they got decodes');
}

$owner = owner();

if ($with != $owner) {
    kill 'KILL', $with;
    isnt($pub->wait(10), undef, 'the worker of the publisher dies: he is gone');
    $t->wait_for(sub { ($t->source('a') || {})->{state} eq 'waiting' }, 10,
                 'the source waits for another');
    is(owner(), $owner, 'in the same worker');
}

$player->stop;
start('Third-3');
ok(live($t, 'a'), 'who comes');


# a time limit for workers that leave

is(($t->reload(main => 'worker_shutdown_timeout 3s;'))[0], 0,
   'with a limit from now on');
start('Third-3') unless $pub->running;
ok(live($t, 'a'), 'live');

# of those that are started now

$pub->stop;
$t->poll(sub { $t->source('a')->{state} eq 'waiting' }, 5);
$server->stop;
$t->wait_for(sub { $t->worker_pids(1) == 4 && !$t->exiting_pids }, 20,
             'old workers leave');
start('Third-3');
ok(live($t, 'a'), 'live in a new worker');

my $at = time();
my @leaving = $t->worker_pids;

is(($t->reload)[0], 0, 'a reload');
$t->wait_for(sub { !grep { MC::alive($_) } @leaving }, 10,
             'the workers before it leave in time');
cmp_ok(time() - $at, '<', 8, 'after that time');
isnt($pub->wait(10), undef, 'with their publishers');

my $again = publish($t, "$url/a?key=Third-3", $in);
ok(live($t, 'a'), 'who come again to a new one');


# all ends

my @watching = map { play($t, "$url/out", "quit$_.flv", tool => 'gst') } 0 .. 3;
$t->wait_for(sub { @{ $t->output('a', 'play')->{peers} } == 4 }, 10,
             'players, in any worker');

my $took = $t->stop('quit');
cmp_ok($took, '<', 5, 'quit with live RTMP');
isnt($again->wait(10), undef, 'ends the publisher');
is(scalar(grep { !defined $_->wait(10) } @watching), 0, 'and players');

$t->start;
$again = publish($t, "$url/a?key=Third-3", $in);
ok(live($t, 'a'), 'live again');
$player = play($t, "$url/out", 'last.flv', tool => 'gst');
$t->wait_for(sub { @{ $t->output('a', 'play')->{peers} } }, 10, 'and played');
cmp_ok($t->stop('stop'), '<', 5, 'stop with live RTMP');

$server->finish;
$t->finish;
done_testing();
