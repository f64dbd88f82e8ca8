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
my $seconds = $ENV{MC_SECONDS} || ($ENV{MC_ASAN} ? 60 : 34);

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
    my (%wrong, %count);

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
        $r{processes} = @children if @children > $r{processes};

        my $left = 0.1 - (time() - $at);
        sleep $left if $left > 0;
    }

    $r{wrong} = [sort values %wrong];
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


# HLS and the record: written by one worker at a time, and complete

my ($list) = map { $t->read_file($_) }
             grep { -e $t->dir . "/$_" } 'hls/hls.m3u8';
my @segments = ($list || '') =~ /^(\S+\.ts)$/mg;
my @files = map { s!.*/!!r } glob $t->dir . '/hls/*.ts';
my $gaps = () = ($list || '') =~ /DISCONTINUITY/g;

cmp_ok(scalar @segments, '>=', $seconds / 2, 'HLS has segments');
is(join(' ', map { /(\d+)\.ts/ } @segments),
   join(' ', 0 .. $#segments), 'numbered without a gap')
    or diag($list);
is(scalar @files, scalar @segments, 'and no others were written');
is($gaps, 0, 'without a discontinuity');

if (@segments) {
    my $bytes = join '', map { $t->read_file("hls/$_") } @segments;

    open my $fh, '>', $t->dir . '/hls.ts';
    print $fh $bytes;
    close $fh;

    my ($v) = grep { $_->{type} eq 'video' } packets($t, 'hls.ts');
    my @dts = map { $_->{dts} } @{ $v ? $v->{packets} : [] };
    my @back = grep { $dts[$_] <= $dts[$_ - 1] } 1 .. $#dts;
    my @wide = grep { $dts[$_] - $dts[$_ - 1] > 0.081 } 1 .. $#dts;

    is("@back", '', 'its times never go back');
    is("@wide", '', 'no frame is missing in it');
    cmp_ok(scalar @dts, '>=', 20 * ($seconds - 3), 'it has them all');
}

my @recorded = glob $t->dir . '/rec/*.flv';

is(scalar @recorded, 1, 'one record') or diag("@recorded");

same_media($t, $in, 'rec/' . ($recorded[0] =~ s!.*/!!r),
           min => 20 * ($seconds - 3), name => 'the record has all')
    if @recorded;


# nothing is live any more

$send->stop;

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
