#!/usr/bin/perl

# A hundred reloads, each with a real change, beside live RTMP: publishers and
# players in any worker, what is pushed to another server, SRT receivers and
# what the application records and makes HLS of lose nothing, and keep the
# connections that they have.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use HTTP::Tiny;
use JSON::PP;
use Test::More;
use Time::HiRes qw/ sleep time /;
use MC;
use MC::Media qw/ sample packets record same_media /;
use MC::Rtmp qw/ publish play rtmp_server connected live /;

my $workers = 4;
my $reloads = $ENV{MC_RELOADS} || 100;
my $seconds = $ENV{MC_SECONDS} || ($ENV{MC_ASAN} ? 60 : 30);

my $server = rtmp_server();
my @names = map { "f$_" } 0 .. 3;

# every flow has all kinds of outputs that the publisher's frames can reach; one
# of another kind is changed while it is live

sub flows {
    my ($n) = @_;

    my $text = '';

    for my $i (0 .. $#names) {
        $text .= "mc_flow f$i { mc_source rtmp:///live/f$i;"
            . " mc_output play rtmp:///live/out$i;"
            . " mc_output srt srt://:%%srt$i%%;"
            . ' mc_output push ' . $server->rtmp_url("pushed$i") . '; }'
            . "\n";
    }

    $text .= 'mc_flow hls { mc_source rtmp:///live/hls;'
        . " mc_output play rtmp:///hls/hls; }\n";

    return $text . "mc_flow changing { mc_title \"title $n\";"
        . ' mc_source udp://127.0.0.1:%%c_in%%;'
        . ' mc_output o udp://127.0.0.1:%%c_out%%;'
        . ($n % 2 ? ' mc_output more udp://127.0.0.1:%%c_more%%;' : '')
        . " }\nmc_flow n" . $n % 5 . ' { mc_source rtmp:///live/n' . $n % 5
        . "; mc_output play rtmp:///live/p$n; }\n";
}

my $t = MC->new(start => 0, workers => $workers, limit => 200,
    flows => flows(0),
    rtmp => 'server { listen 127.0.0.1:%%rtmp%%; chunk_size 4096;'
            . ' application live { live on; }'
            . ' application hls { live on; hls on; hls_path %%DIR%%/hls;'
            . ' hls_fragment 1s; hls_playlist_length 300s; hls_cleanup off;'
            . ' record all; record_path %%DIR%%/rec; record_unique on; } }');

for my $dir ('hls', 'rec') {
    mkdir $t->dir . "/$dir";
    chmod 0777, $t->dir . "/$dir";
}

$t->start;

my $url = 'rtmp://127.0.0.1:%%rtmp%%';
my $in = sample($t, 'in.flv', seconds => $seconds, size => '320x180',
                rate => '250k', bframes => 2);

my $send = $t->mcpkt('send', 'udp://127.0.0.1:%%c_in%%', '--seconds', 190,
                     '--rate', '200k');

sub video {
    my ($file) = @_;

    my ($v) = grep { $_->{type} eq 'video' } packets($t, $file);
    return $v ? @{ $v->{packets} } : ();
}


# receivers first, then publishers, then players, whom nobody else feeds

my @srt = map { record($t, "srt://127.0.0.1:%%srt$_%%", "srt$_.ts") } 0 .. 3;

for my $i (0 .. 3) {
    $t->wait_for(sub { @{ $t->output("f$i", 'srt')->{peers} } }, 10,
                 "f$i: a receiver");
    connected($t, "f$i", 'push');
}

my %pub = map { $_ => publish($t, "$url/live/$_", $in) } @names, 'hls';
my $began = time();

ok(live($t, $_), "$_: live") for @names, 'hls';

my @play = map {
    play($t, "$url/live/out$_", "play$_.flv",
         tool => (qw/ rtmpdump gst rtmpdump gst /)[$_])
} 0 .. 3;

for my $i (0 .. 3) {
    $t->wait_for(sub { @{ $t->output("f$i", 'play')->{peers} } }, 10,
                 "f$i: a player");
}

# which workers have them

sub session {
    my ($what, $name) = @_;

    return $t->log =~ /\[info\] (\d+)#\d+: \*\d+ $what: name='$name'/
        ? $1 : 0;
}

my $first = $t->status->{flows};
my %owner = map { $_ => $first->{$_}{pid} } @names, 'hls';
my @apart = grep { session('publish', $_) != $owner{$_} } @names;
my @players = grep { session('play', "out$_") != $owner{"f$_"} } 0 .. 3;

diag(scalar(@apart) . ' publishers and ' . scalar(@players)
     . ' players are in other workers than their flow');


# a witness

my $master = $t->pid;
my $status = $t->url('');

my $witness = $t->background('witness', sub {
    my ($ends) = @_;

    my %r = (samples => 0, failures => 0, processes => 0, generation => 0);
    my (%wrong, %count, %writers);

    my $wrong = sub { $wrong{$_[0]} ||= "generation $r{generation}: $_[0]" };

    until ($ends->()) {
        my $at = time();
        my $a = HTTP::Tiny->new(timeout => 5, proxy => undef,
                                http_proxy => undef)->get($status);
        my $s = $a->{status} == 200 && eval { decode_json($a->{content}) };

        if (!$s) {
            $r{failures}++;
            $r{failure} = "$a->{status} $a->{content}";
            next;
        }

        $r{samples}++;
        $r{generation} = $s->{generation};

        for my $name (@names, 'hls') {
            my $f = $s->{flows}{$name};

            if (!$f) {
                $wrong->("$name is missing");
                next;
            }

            $wrong->("$name has the owner " . ($f->{pid} || 'none'))
                if ($f->{pid} || 0) != $owner{$name};
            $wrong->("$name was started again")
                if ($f->{started_at} || '') ne $first->{$name}{started_at};

            for my $e (@{ $f->{sources} }, @{ $f->{outputs} }) {
                next if $name eq 'hls' && $e->{name} eq 'play';

                $wrong->("$name: $e->{name} is $e->{state}")
                    if $e->{state} ne 'connected';
                $wrong->("$name: $e->{name}: $e->{connections} connections")
                    if $e->{connections} != 1;
                $wrong->("$name: $e->{name}: disconnected")
                    if $e->{disconnections};
                $wrong->("$name: $e->{name}: dropped $e->{dropped_packets}")
                    if $e->{dropped_packets};

                my @now = map { $e->{$_} } qw/ packets bytes /;

                for my $i (0 .. $#now) {
                    my $was = $count{$name}{$e->{name}};
                    $wrong->("$name: $e->{name}: counter $i goes back")
                        if $was && $now[$i] < $was->[$i];
                }

                $count{$name}{$e->{name}} = \@now;
            }
        }

        my @children = MC::_children($master);

        # who has a file of them open

        my %has;

        for my $pid (@children) {
            for my $fd (glob "/proc/$pid/fd/*") {
                my $to = readlink $fd or next;
                $has{$1}{$pid} = 1 if $to =~ m!/(hls|rec)/!;
            }
        }

        $writers{"$_: " . join ' ', sort keys %{ $has{$_} }} = 1
            for grep { keys %{ $has{$_} } > 1 } keys %has;

        $r{processes} = @children if @children > $r{processes};

        my $left = 0.1 - (time() - $at);
        sleep $left if $left > 0;
    }

    $r{wrong} = [sort values %wrong];
    $r{writers} = [sort keys %writers];
    return \%r;
});


# the reloads

my $http = HTTP::Tiny->new(timeout => 10, proxy => undef, http_proxy => undef);
my $start = time();
my $failed = '';
my ($n, $worst) = (0, 0);

for $n (1 .. $reloads) {
    my $at = time();

    $t->hup(flows => flows($n));

    my $ok = $t->poll(sub {
        ($http->get("$status/flows/changing")->{content} || '')
            =~ /"title":"title $n"/
    }, 15, 0.01);

    $worst = time() - $at if time() - $at > $worst;

    if (!$ok) {
        $failed = "reload $n";
        last;
    }
}

is($failed, '', "$reloads reloads are taken");
diag(sprintf 'in %.1f s, the slowest %.0f ms', time() - $start, 1000 * $worst);

cmp_ok(time() - $began, '<', $seconds - 1, 'while all were live')
    or diag('a machine this slow needs more MC_SECONDS');

$t->wait_for(sub { $t->worker_pids(1) <= 2 * $workers }, 15,
             'only the first workers and the last remain');

my $saw = $witness->json;

is(join("\n", @{ $saw->{wrong} || ['?'] }), '',
   'nobody saw anything of it');
is($saw->{failures}, 0, 'the status was always answered')
    or diag($saw->{failure});
cmp_ok($saw->{processes} || 99, '<=', 6 * $workers,
       'there were never many processes');
diag("$saw->{samples} looks, $saw->{processes} workers at most");

my @running = grep { $pub{$_}->running } sort keys %pub;
is("@running", "@{[ sort keys %pub ]}", 'all publishers are still there');
is(join(' ', grep { !$play[$_]->running } 0 .. 3), '', 'and all players');

my $s = $t->status;

is(join(' ', grep { !$s->{flows}{$_}{exiting} } @names, 'hls'), '',
   'the live flows are in old workers');


# the end

for my $name (sort keys %pub) {
    is($pub{$name}->wait($seconds), 0, "$name: published to the end")
        or diag($pub{$name}->err);
}

for my $name (@names, 'hls') {
    $t->poll(sub { $t->source($name)->{state} eq 'waiting' }, 5);
    is($t->source($name)->{connections}, 1, "$name: in one connection");
}

my @size = (-1) x 4;
my $same = 0;

$t->poll(sub {
    my @now = map { $server->recorded_size("pushed$_")
                    + (-s $t->dir . "/srt$_.ts" || 0) } 0 .. 3;
    $same = "@now" eq "@size" ? $same + 1 : 0;
    @size = @now;
    $same >= 10
}, 10, 0.1);

$_->stop for @srt, @play;

# what began after the encoder had begun is given from a key frame on

for my $i (0 .. 3) {
    same_media($t, $in, $server->recorded($t, "pushed$i"), whole => 1,
               name => "f$i: the server has all");
    same_media($t, $in, "srt$i.ts", min => 20 * $seconds,
               name => "f$i: the SRT receiver has all");
    same_media($t, $in, "play$i.flv", min => 20 * ($seconds - 3),
               name => "f$i: the player has all");
}


# HLS and the record are written by a current worker, and so by another one
# after each reload: by one at a time, each segment from a key frame on

my ($list) = map { $t->read_file($_) }
             grep { -e $t->dir . "/$_" } 'hls/hls.m3u8';
my @segments = ($list || '') =~ /^(\S+\.ts)$/mg;
my @files = map { s!.*/!!r } glob $t->dir . '/hls/*.ts';
my $gaps = () = ($list || '') =~ /DISCONTINUITY/g;

is(join("\n", @{ $saw->{writers} || ['?'] }), '',
   'no two workers ever write HLS or the record');
cmp_ok(scalar @segments, '>=', $seconds / 4, 'HLS has segments');
is(join(' ', map { /(\d+)\.ts/ } @segments),
   join(' ', 0 .. $#segments), 'numbered without a gap')
    or diag($list);
cmp_ok(scalar @files, '<=', @segments + 1, 'and no others were written');

my %frames = map { $_->{hash} => 0 } video($in);
my $total = keys %frames;
my ($last, @wrong) = 0;

for my $file (map { "hls/$_" } @segments) {
    my @v = video($file);

    push @wrong, "$file: no frames" unless @v;
    push @wrong, "$file: begins without a key frame" if @v && !$v[0]{key};
    push @wrong, "$file: times go back"
        if grep { $v[$_]{dts} <= $v[$_ - 1]{dts} } 1 .. $#v;
    $frames{$_->{hash}}++ for grep { defined $frames{$_->{hash}} } @v;
}

is(join("\n", @wrong), '', 'each can be played');
is(scalar(grep { $_ > 1 } values %frames), 0, 'no frame is in two of them');

my @all = map { $frames{$_->{hash}} } video($in);
my $missing = grep { !$_ } @all;

# the last seconds were without reloads, and the last segment may be unfinished

is(scalar(grep { !$_ } @all[$total - 25 * 8 .. $total - 30]), 0,
   'nothing is missing after the last reload');
diag(scalar(@segments) . " segments, $gaps discontinuities;"
     . " not in them: $missing of $total pictures");

my @recorded = map { s!.*/!!r } glob $t->dir . '/rec/*.flv';
my ($biggest) = sort { -s $t->dir . "/rec/$b" <=> -s $t->dir . "/rec/$a" }
                @recorded;

diag(scalar(@recorded) . ' records');
same_media($t, $in, "rec/$biggest", min => 25 * 8,
           name => 'the last record has all from its beginning')
    if $biggest;


# nothing is live any more: an output that is connected to a server counts

$send->stop;
$server->stop;

$t->wait_for(sub { !grep { MC::alive($_) } values %owner }, 15,
             'the old workers leave');
$t->wait_for(sub { $t->worker_pids(1) == $workers }, 10, 'as do all others');
$t->wait_for(sub {
    my $s = $t->status;
    !grep { !$_->{pid} || $_->{exiting} } values %{ $s->{flows} };
}, 10, 'all flows are in current workers');

# who comes now, comes to them

my $again = publish($t, "$url/live/f0", $in);
ok(live($t, 'f0'), 'a publisher of the new workers');
$again->stop;

$server->finish;
$t->finish;
done_testing();
