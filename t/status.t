#!/usr/bin/perl

# The status: every field there and of its type, health from down to ok and
# back, errors, and hundreds of flows answered beside running media.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use B;
use JSON::PP;
use Test::More;
use Time::HiRes qw/ time /;
use MC;
use MC::Media qw/ sample convert feed /;
use MC::Rtmp qw/ publish play connected event /;

my $t = MC->new(workers => 2, log => 'notice', main => 'mc_region  "here";',
                rtmp => 'server { listen 127.0.0.1:%%rtmp%%;'
                        . ' application live { live on; }'
                        . ' application sink { live on; } }',
                flows => <<'END');
mc_flow full {
    mc_title          "A \"title\"";
    mc_description    "über";
    mc_max_bandwidth  20m;
    mc_allow          127.0.0.0/8 2001:db8::/32;

    mc_source  srt://:%%in%%  passphrase=top-secret-1  "description=a camera"
               name=camera;
    mc_source  rtp://:%%rtp%%  backup;
    mc_output  l  srt://:%%l%%  allow=127.0.0.1  min_peers=1;
    mc_output  l  srt://:%%lb%%  allow=127.0.0.1  backup;
    mc_output  c  srt://127.0.0.1:%%c%%?passphrase=top-secret-2&streamid=s3cr3t
               conntimeo=300;
    mc_output  r  rtp://127.0.0.1:%%r%%;
    mc_output  u  udp://127.0.0.1:%%u%%;
    mc_output  x  udp://127.0.0.1:%%u%%  off;
}
mc_flow plain {
    mc_source  srt://:%%p_in%%;
    mc_source  srt://:%%p_inb%%  backup;
    mc_output  o  srt://:%%p_o%%;
}
mc_flow idle {
    mc_source  srt://:%%i_in%%;
}
mc_flow rtmp {
    mc_source  rtmp:///live/in  key=top-secret-3;
    mc_output  o  rtmp:///live/out  min_peers=1;
    mc_output  p  rtmp://127.0.0.1:%%rtmp%%/sink  key=top-secret-4;
    mc_output  s  srt://:%%rtmp_s%%;
}
mc_flow unplayable {
    mc_source  udp://127.0.0.1:%%un_in%%;
    mc_output  o  rtmp:///live/none;
}
mc_flow stopped {
    mc_state   off;
    mc_source  srt://:%%s_in%%;
    mc_output  o  srt://:%%s_o%%;
}
END


# types; "?" may be null

my %is;

%is = (
    s => sub { !ref $_[0] && B::svref_2object(\$_[0])->FLAGS & B::SVf_POK },
    n => sub { !ref $_[0] && !(B::svref_2object(\$_[0])->FLAGS & B::SVf_POK)
               && $_[0] >= 0 },
    i => sub { !ref $_[0] && !(B::svref_2object(\$_[0])->FLAGS & B::SVf_POK)
               && $_[0] =~ /^\d+$/ },
    b => sub { JSON::PP::is_bool($_[0]) },
    t => sub { !ref $_[0]
               && $_[0] =~ /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/ },
    a => sub { ref $_[0] eq 'ARRAY' },
    c => sub { $is{i}->($_[0]) || $is{s}->($_[0]) && length $_[0] == 4 },
    o => sub { ref $_[0] eq 'HASH' },
    r => sub { $_[0] =~ /^[\d.e-]+$/ && $_[0] >= 0 && $_[0] <= 1 },
);

my %all = (version => 's', nginx_version => 's', time => 't', region => '?s',
           generation => 'i', last_reload => 'o', flows => 'o');

my %flow = (title => '?s', description => '?s', status => 's', state_by => 's',
            health => '?s', reasons => 'a', pipelines => 'o',
            max_bandwidth => '?i', failover => 's', active_source => '?s',
            worker => '?i', pid => '?i', exiting => 'b', started_at => '?t',
            sources => 'a', outputs => 'a');

my %endpoint = (name => 's', pipeline => 's', protocol => 's', mode => 's',
                url => 's', description => '?s', allow => '?a', region => '?s',
                state => 's', peer => '?s', connected_at => '?t',
                connections => 'i', disconnections => 'i', rejected => 'i',
                last_error => '?s', retry_at => '?t', bitrate => 'i',
                bytes => 'i', packets => 'i', dropped_packets => 'i');

my %srt = (rtt_ms => '?n', send_latency_ms => '?i', recv_latency_ms => '?i',
           encrypted => '?b', key_length => '?i', peer_version => '?s',
           packets => 'i', lost_packets => 'i', retransmitted_packets => 'i',
           dropped_packets => 'i', belated_packets => 'i', loss_ratio => '?r',
           retransmit_ratio => '?r', buffer_ms => '?i');

my %rtp = (packets => 'i', lost_packets => 'i', recovered_packets => '?i',
           unrecovered_packets => '?i', reordered_packets => 'i',
           duplicate_packets => 'i', jitter_ms => '?n', fec_packets => '?i',
           fec_recovered_packets => '?i');

my %ts = (sync_losses => 'i', sync_byte_errors => 'i',
          continuity_errors => 'i', transport_errors => 'i',
          map { $_ => '?n' } qw/ pat_errors pmt_errors pid_errors crc_errors
          pcr_repetition_errors pcr_discontinuity_errors pcr_accuracy_errors
          pts_errors cat_errors pcr_jitter_us /);

my %peer = (id => 'i', address => 's', streamid => '?s', connected_at => 't',
            bitrate => 'i', bytes => 'i', packets => 'i',
            dropped_packets => 'i');

my %rtmp = (frames => 'i', dropped_frames => 'i', chunk_size => '?i',
            queue => '?i', video_codec_id => '?c', audio_codec_id => '?c',
            metadata => '?o');

my %metadata = (width => '?i', height => '?i', frame_rate => '?n',
                video_bitrate => '?i', audio_bitrate => '?i',
                sample_rate => '?i', channels => '?i', encoder => '?s');

my %track = (pid => '?i', type => 's', codec => '?s', bitrate => 'i',
             frame_rate => '?n', language => '?s');

my %track_of = (
    video => { width => '?i', height => '?i', profile => '?i', level => '?i' },
    audio => { sample_rate => '?i', channels => '?i' },
    data => {},
);

my @wrong;

sub check {
    my ($where, $got, %want) = @_;

    for my $key (sort keys %want) {
        my ($null, $type) = $want{$key} =~ /^(\??)(.)$/;

        if (!exists $got->{$key}) {
            push @wrong, "$where: no $key";

        } elsif (!defined $got->{$key}) {
            push @wrong, "$where: $key is null" unless $null;

        } elsif (!$is{$type}->($got->{$key})) {
            push @wrong, "$where: $key is " . encode_json([$got->{$key}]);
        }
    }

    push @wrong, map { "$where: what is $_" }
                 grep { !exists $want{$_} } sort keys %$got;
}

sub check_all {
    my ($status, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    @wrong = ();

    check('all', $status, %all);
    check('last_reload', $status->{last_reload},
          time => 't', result => 's', error => '?s');

    for my $id (sort keys %{ $status->{flows} }) {
        my $f = $status->{flows}{$id};

        check($id, $f, %flow);
        check("$id: $_", $f->{pipelines}{$_}, health => '?s')
            for qw/ primary backup /;

        for my $e (@{ $f->{sources} }, @{ $f->{outputs} }) {
            my $source = exists $e->{ts};
            my $where = "$id: $e->{name} $e->{pipeline}";

            check($where, $e, %endpoint, tracks => 'a',
                  $source ? (ts => $e->{protocol} eq 'rtmp' ? '?o' : 'o',
                             exceeded_packets => 'i')
                          : (peers => 'a', state_by => 's'),
                  $e->{protocol} =~ /^(srt|rtp|rtmp)$/ ? ($1 => 'o') : ());

            check("$where: srt", $e->{srt}, %srt) if $e->{srt};
            check("$where: rtp", $e->{rtp}, %rtp) if $e->{rtp};
            check("$where: rtmp", $e->{rtmp}, %rtmp) if $e->{rtmp};
            check("$where: metadata", $e->{rtmp}{metadata}, %metadata)
                if $e->{rtmp} && $e->{rtmp}{metadata};
            check("$where: ts", $e->{ts}, %ts) if $e->{ts};

            check("$where: a track", $_, %track,
                  %{ $track_of{$_->{type}} || {} }) for @{ $e->{tracks} };

            for my $p (@{ $e->{peers} || [] }) {
                check("$where: a peer", $p, %peer,
                      $e->{protocol} eq 'srt' ? (srt => 'o') : ());
                check("$where: srt of a peer", $p->{srt}, %srt) if $p->{srt};
            }
        }
    }

    ok(!@wrong, $name) or diag(join "\n", @wrong);
}

sub health {
    my ($flow, $want, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $f;
    $t->poll(sub { $f = $t->flow($flow);
                   ($f->{health} || 'null') eq $want }, 8);
    is($f->{health} || 'null', $want, $name)
        or diag(explain($f->{reasons}, $f->{pipelines}));

    return $f;
}


# nobody there

my $status = $t->status;
check_all($status, 'all fields are there');

is($status->{region}, 'here', 'region');
like($status->{version}, qr/^\d+\.\d+\.\d+$/, 'version');
like($status->{nginx_version}, qr/^1\.\d+\.\d+$/, 'version of nginx');
is($status->{generation}, 1, 'generation');

my $full = $status->{flows}{full};
my %state = map { ("$_->{name} $_->{pipeline}" => $_->{state}) }
            @{ $full->{sources} }, @{ $full->{outputs} };

is_deeply(\%state, {
    'camera primary' => 'waiting', 'source backup' => 'waiting',
    'l primary' => 'waiting', 'l backup' => 'waiting',
    'c primary' => 'connecting', 'r primary' => 'connected',
    'u primary' => 'connected', 'x primary' => 'stopped',
}, 'states') or diag(explain(\%state));

is($full->{title}, 'A "title"', 'title');
is($full->{description}, "\x{fc}ber", 'description');
is($full->{status}, 'running', 'status');
is($full->{state_by}, 'config', 'state_by');
is($full->{failover}, 'off', 'failover');
is($full->{max_bandwidth}, 20000000, 'max_bandwidth');

my ($camera) = @{ $full->{sources} };
is($camera->{url}, 'srt://:' . $t->port('in'), 'url of a source');
is($camera->{mode}, 'listener', 'mode');
is($camera->{description}, 'a camera', 'description of a source');
is($camera->{region}, 'here', 'region of a source');
is_deeply($camera->{allow}, ['127.0.0.0/8', '2001:db8::/32'], 'allow');

my ($c) = grep { $_->{name} eq 'c' } @{ $full->{outputs} };
is($c->{url}, 'srt://127.0.0.1:' . $t->port('c'), 'url of an output');
is($c->{mode}, 'caller', 'mode of an output');

is($status->{flows}{idle}{status}, 'idle', 'a flow without outputs');
is($status->{flows}{idle}{health}, undef, 'has no health');
is($status->{flows}{stopped}{status}, 'stopped', 'a stopped flow');
is($status->{flows}{stopped}{health}, undef, 'has no health');
is($status->{flows}{stopped}{sources}[0]{state}, 'stopped', 'nor sources');

my $one = $t->flow('full');
is(delete $one->{name}, 'full', 'a flow alone has its name');
is_deeply([sort keys %$one], [sort keys %$full], 'and the same fields');


# health

my $f = health('plain', 'down', 'no source: down');
ok((grep { /source/ } @{ $f->{reasons} }), 'the reason is the source');

my $send = $t->mcpkt('send', 'srt://127.0.0.1:%%p_in%%', '--seconds', 60,
                     '--rate', '2m');
$f = health('plain', 'ok', 'a source delivers: ok');
is_deeply($f->{reasons}, [], 'no reasons');
is($f->{pipelines}{primary}{health}, 'ok', 'the primary pipeline');

$send->stop;
health('plain', 'down', 'it has left: down');

$send = $t->mcpkt('send', 'srt://127.0.0.1:%%in%%?passphrase=top-secret-1',
                  '--seconds', 60, '--rate', '2m');

$f = health('full', 'degraded', 'a caller output connects: degraded');
ok((grep { /"c"/ } @{ $f->{reasons} }), 'a reason names it');
ok((grep { /"l"/ } @{ $f->{reasons} }), 'min_peers is another')
    or diag(explain($f->{reasons}));
is($f->{active_source}, 'primary', 'active_source');

my $c_recv = $t->mcpkt('recv', 'srt://127.0.0.1:%%c%%?mode=listener'
                       . '&passphrase=top-secret-2', '--seconds', 60);
$t->wait_for(sub { $t->output('full', 'c')->{state} eq 'connected' }, 12,
             'the output is connected');
health('full', 'degraded', 'still degraded');

my $l_recv = $t->mcpkt('recv', 'srt://127.0.0.1:%%l%%?streamid=me',
                       '--seconds', 60);
$f = health('full', 'ok', 'min_peers met: ok, the backup was never seen');

# seconds of media later

$t->wait_for(sub {
    my $s = $t->source('full');
    $s->{bitrate} && abs($s->{bitrate} - 2e6) < 4e5
}, 6, 'the bit rate of the source');

$t->wait_for(sub {
    my $o = $t->output('full', 'l');
    my $p = $o->{peers}[0] || {};
    abs($o->{bitrate} - 2e6) < 4e5 && abs($p->{bitrate} - 2e6) < 4e5
}, 6, 'and of a receiver');

$status = $t->status;
check_all($status, 'all fields with peers');

my ($l) = grep { $_->{name} eq 'l' } @{ $status->{flows}{full}{outputs} };
my $peer = $l->{peers}[0];
like($peer->{address}, qr/^127\.0\.0\.1:\d+$/, 'a peer has an address');
is($peer->{streamid}, 'me', 'and a streamid');
ok($peer->{packets} > 0 && $peer->{bytes} == $peer->{packets} * 1316,
   'and counters');

my $s = $status->{flows}{full}{sources}[0];
ok($s->{srt}{encrypted} && $s->{srt}{key_length} == 16, 'encryption');
cmp_ok($s->{srt}{packets}, '>', 50, 'packets of SRT');
cmp_ok($s->{srt}{rtt_ms}, '<', 100, 'round trip');
cmp_ok($s->{srt}{buffer_ms}, '<', 400, 'buffer');
cmp_ok($s->{bytes}, '==', $s->{packets} * 1316, 'bytes');
like($s->{peer}, qr/^127\.0\.0\.1:\d+$/, 'the peer of a source');

$send->stop;
health('full', 'down', 'no source again: down');
$_->stop for $c_recv, $l_recv;


# RTMP

my $media = sample($t, 'media.ts', seconds => 20);
convert($t, $media, 'media.flv');

my $rtmp = $status->{flows}{rtmp};
is($rtmp->{sources}[0]{protocol}, 'rtmp', 'protocol of RTMP');
is($rtmp->{sources}[0]{url}, 'rtmp:///live', 'url of one that listens');
is($rtmp->{outputs}[1]{url}, 'rtmp://127.0.0.1:' . $t->port('rtmp') . '/sink',
   'url of one that connects');
ok(exists $rtmp->{sources}[0]{ts} && !defined $rtmp->{sources}[0]{ts},
   'there is no transport stream');

my $play = play($t, 'rtmp://127.0.0.1:%%rtmp%%/live/out', 'played.flv');
my $publish = publish($t, 'rtmp://127.0.0.1:%%rtmp%%/live/in?key=top-secret-3',
                      'media.flv');

# of another kind than what RTMP carries

my $odd = sample($t, 'odd.ts', seconds => 20, video => 'mpeg2',
                 audio => 'ac3', size => '320x240');
my $feed = feed($t, $odd, 'udp://127.0.0.1:%%un_in%%');

health('rtmp', 'ok', 'RTMP: ok');

$t->wait_for(sub {
    my $s = $t->source('rtmp');
    my $p = $t->output('rtmp', 'o')->{peers}[0];
    $s->{bitrate} > 3e5 && $p && $p->{bitrate} > 3e5
        && 2 == grep { $_->{frame_rate} && $_->{bitrate} } @{ $s->{tracks} }
}, 8, 'bit rates of the source, its tracks and a player')
    or diag(explain($t->flow('rtmp')));

$status = $t->status;
check_all($status, 'all fields with RTMP');
$rtmp = $status->{flows}{rtmp};

my ($source) = @{ $rtmp->{sources} };
my %tracks = map { ($_->{type} => $_) } @{ $source->{tracks} };
my ($video, $audio) = @tracks{qw/ video audio /};

is_deeply([@$video{qw/ pid codec width height /}], [undef, 'h264', 640, 360],
          'the video track') or diag(explain($video));
cmp_ok(abs($video->{frame_rate} - 25), '<', 3, 'its frame rate');
is_deeply([@$audio{qw/ pid codec sample_rate channels /}],
          [undef, 'aac', 48000, 2], 'the audio track')
    or diag(explain($audio));
cmp_ok(abs($audio->{frame_rate} - 46.9), '<', 5, 'its frame rate');

is($source->{rtmp}{video_codec_id}, 7, 'H.264 in FLV');
is($source->{rtmp}{audio_codec_id}, 10, 'AAC in FLV');
cmp_ok($source->{rtmp}{frames}, '>', 20, 'frames');
cmp_ok($source->{rtmp}{chunk_size} || 0, '>=', 128, 'chunk size');

my $meta = $source->{rtmp}{metadata} || {};
is_deeply([@$meta{qw/ width height sample_rate channels /}],
          [640, 360, 48000, 2], 'metadata') or diag(explain($meta));
like($meta->{encoder} || '', qr/^Lavf/, 'the encoder');

my ($o) = @{ $rtmp->{outputs} };
my ($player) = @{ $o->{peers} };
like($player->{address}, qr/^127\.0\.0\.1/, 'a player has an address');
is($player->{streamid}, undef, 'but no streamid');
cmp_ok($player->{packets}, '>', 20, 'and counters');

($s) = grep { $_->{name} eq 's' } @{ $rtmp->{outputs} };
is_deeply([sort map { $_->{codec} } @{ $s->{tracks} }], ['aac', 'h264'],
          'tracks of an output of transport streams');
ok(!(grep { !defined $_->{pid} } @{ $s->{tracks} }), 'which have PIDs');

$f = health('unplayable', 'degraded', 'nothing that RTMP carries: degraded');
ok((grep { /"o".*nothing playable/ } @{ $f->{reasons} }), 'the reason says so')
    or diag(explain($f));

TODO: {
    local $TODO = 'only tracks that are carried are shown';

    is_deeply([sort map { $_->{codec} } @{ $f->{sources}[0]{tracks} }],
              ['ac3', 'mpeg2video'], 'the tracks tell what it is');
}

event($t, 'unplayable', 'codec_unsupported', 1, 'and so does an event');

$publish->stop;
health('rtmp', 'down', 'the publisher has left: down');
is_deeply($t->source('rtmp')->{tracks}, [], 'and no tracks are left');
$_->stop for $play, $feed;


# how it is asked

my $r = $t->get('');
is($r->{status}, 200, 'GET');
like($r->{headers}{'content-type'}, qr{^application/json}, 'content type');
unlike(join(' ', %{ $r->{headers} }), qr/access-control/i, 'no CORS');
is($t->get('/')->{status}, 200, 'a trailing slash');
is($t->get('/flows/full/')->{status}, 200, 'of a flow');
is($t->get('/flows/full/events/')->{status}, 200, 'of events');

$r = $t->http('HEAD', '');
is($r->{status}, 200, 'HEAD');
is($r->{content} || '', '', 'has no body');
cmp_ok($r->{headers}{'content-length'} || 1000, '>=', 1000, 'but a length');

for (['GET', '/nothing', 404], ['GET', '/flows', 404],
     ['GET', '/flows/none', 404], ['GET', '/flows/none/events', 404],
     ['GET', '/flows/full/none', 404], ['GET', '/metrics', 404],
     ['GET', '/dashboard', 404], ['GET', '/flows/full/health', 404],
     ['GET', '/flows/full/link', 404],
     ['POST', '', 405], ['PUT', '/flows/full', 405],
     ['DELETE', '/flows/full', 405], ['POST', '/flows/full/stop', 403],
     ['POST', '/flows/full/outputs/l/start', 403],
     ['GET', '/flows/full/events?limit=x', 400],
     ['GET', '/flows/full/events?from=yesterday', 400],
     ['GET', '/flows/full/events?cursor=@@', 400])
{
    my ($method, $path, $code) = @$_;

    $r = $t->http($method, $path);
    is($r->{status}, $code, "$method $path: $code");

    my $error = (eval { decode_json($r->{content}) } || {})->{error} || {};
    ok($is{s}->($error->{code}) && $is{s}->($error->{message}),
       "$method $path: an error in JSON") or diag($r->{content});
}

is($t->status->{flows}{full}{status}, 'running', 'nothing was stopped');

unlike(join(' ', map { $t->get($_)->{content} } '', '/flows/full',
            '/flows/full/events', '/flows/rtmp/events') . $t->log,
       qr/top-secret|s3cr3t/,
       'no secret in any answer or log');

$t->stop;


# hundreds of flows, as many as an ordinary user has descriptors for: media goes
# on while they are asked for

my $n = 900;
my $in = $t->port('many', $n > 240 ? 240 : $n);
my $flows = '';

$flows .= sprintf "mc_flow f%04d { mc_source srt://:%%%%shared%%%%"
          . " streamid=s%d; mc_output o udp://127.0.0.1:%d; }\n",
          $_, $_, $in + 1 for 1 .. $n - 2;

$flows .= "mc_flow media { mc_source udp://127.0.0.1:$in;"
        . " mc_output o udp://127.0.0.1:%%media%%; }\n"
        . "mc_flow media2 { mc_source srt://:%%media2%%;"
        . " mc_output o srt://:%%media2_o%%; }\n";

$t->{flows} = $flows;
$t->start;

is(scalar keys %{ $t->status->{flows} }, $n, "$n flows");

my (%p99, %asked);

for my $round ('alone', 'asked') {
    my $recv = $t->mcpkt('recv', 'udp://127.0.0.1:%%media%%',
                         '--packets', 1900);
    my $recv2 = $t->mcpkt('recv', 'srt://127.0.0.1:%%media2_o%%',
                          '--packets', 1900);
    $t->wait_for(sub { @{ $t->output('media2', 'o')->{peers} } == 1 }, 5);

    my @send = map { $t->mcpkt('send', $_, '--rate', '5m',
                               '--packets', 1900) }
               "udp://127.0.0.1:$in", 'srt://127.0.0.1:%%media2%%';

    while ($round eq 'asked' && grep { $_->running } @send) {
        my $start = time();
        my $r = $t->get('');

        $asked{n}++;
        $asked{bytes} = length $r->{content};
        $asked{max} = time() - $start
            if time() - $start > ($asked{max} || 0);

        # as often as an eager monitoring would, and not a test of this
        # script's own appetite

        select undef, undef, undef, 0.1;
    }

    for (['udp', $recv], ['srt', $recv2]) {
        my ($name, $p) = @$_;
        my $got = $p->json(20);

        is($got->{datagrams}, 1900, "$round: $name has all");
        is($got->{lost}, 0, "$round: $name lost nothing");

        $p99{"$name $round"} = $got->{delay_us}{p99};
    }

    $_->wait(5) for @send;

    $t->wait_for(sub { $t->source('media2')->{state} eq 'waiting'
                       && !@{ $t->output('media2', 'o')->{peers} } }, 5);
}

cmp_ok($asked{n}, '>', 10, "asked $asked{n} times, $asked{bytes} bytes");
cmp_ok($p99{"$_ asked"} - $p99{"$_ alone"}, '<', 25_000,
       "$_: no delay is added") or diag(explain(\%p99)) for 'udp', 'srt';

$t->finish;
done_testing();
