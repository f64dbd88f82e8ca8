#!/usr/bin/perl

# Outputs that publish to a remote RTMP server: what arrives is what the source
# has, at nginx-rtmp and at ffmpeg; servers that refuse, are silent or answer
# in their own ways; what is shown of it, never with the key.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use IO::Select;
use IO::Socket::IP;
use Test::More;
use Time::HiRes qw/ time /;

use MC;
use MC::Media qw/ sample feed same_media /;
use MC::Rtmp qw/ publish rtmp_server connected event /;


my $server = rtmp_server();
my $t = MC->new(start => 0, rtmp => '', flows => '');

my $file = sample($t, 'in.flv', seconds => 12, bframes => 2);

# each of these servers is asked by the output of one flow

my %servers = (

    # refuses what many refuse, numbers its streams from 7
    odd => sub {
        my ($s, $cmd, $tx) = @_;
        return error($tx, 'NetConnection.Call.Failed', 'no such method')
            if $cmd eq 'releaseStream' || $cmd eq 'FCPublish';
        return normal($s, $cmd, $tx, 7);
    },

    # never answers these two
    lazy => sub {
        my ($s, $cmd, $tx) = @_;
        return '' if $cmd eq 'releaseStream' || $cmd eq 'FCPublish';
        return normal($s, $cmd, $tx, 1);
    },

    # publishes nobody without FCPublish before it
    strict => sub {
        my ($s, $cmd, $tx) = @_;
        $s->{fc} = 1 if $cmd eq 'FCPublish';
        return status('error', 'NetStream.Publish.Denied', 'no FCPublish')
            if $cmd eq 'publish' && !$s->{fc};
        return normal($s, $cmd, $tx, 1);
    },

    badname => sub {
        my ($s, $cmd, $tx) = @_;
        return status('error', 'NetStream.Publish.BadName',
                      "name?key=hush-hush is in use, hush-hush")
            if $cmd eq 'publish';
        return normal($s, $cmd, $tx, 1);
    },

    refused => sub {
        my ($s, $cmd, $tx) = @_;
        return error($tx, 'NetConnection.Connect.Rejected', "no app\nhere");
    },

    closed => sub { undef },

    # later, while it is up
    late => sub {
        my ($s, $cmd, $tx) = @_;
        my $answer = normal($s, $cmd, $tx, 1);
        $answer .= status('error', 'NetStream.Publish.Failed', 'disk full')
            if $cmd eq 'publish';
        return $answer;
    },

    garbage => sub { "\x03" x 3000 },
);

my %socks = map {
    $_ => IO::Socket::IP->new(Listen => 8, LocalAddr => '127.0.0.1',
                              LocalPort => 0, ReuseAddr => 1) || die $!
} sort keys %servers;

my $small = $t->background('servers', sub { serve($_[0]) });

my $flows = join '', map {
    my $port = $socks{$_}->sockport;

    "mc_flow $_ { mc_source udp://127.0.0.1:%%unused_$_%%;"
    . " mc_output o rtmp://127.0.0.1:$port/app/name?key=hush-hush; }\n"
} sort keys %servers;

my $ffmpeg = $t->port('ffmpeg');
my $source = $server->rtmp_url('in');
my $dir = $t->dir;

my $listener = $t->spawn('listen', qw/ ffmpeg -v error -nostdin -y -listen 1
    -i /, "rtmp://127.0.0.1:$ffmpeg/live/name", qw/ -map 0 -c copy -copyinkf
    -flush_packets 1 /, "$dir/listened.flv");

$t->{flows} = <<"END_FLOWS";
$flows
mc_flow main {
    mc_source $source;
    mc_output pushed @{[ $server->rtmp_url('pushed') ]}?key=hush-hush;
    mc_output listened rtmp://127.0.0.1:$ffmpeg/live/name;
}
mc_flow ts {
    mc_source udp://127.0.0.1:%%ts%%;
    mc_output o @{[ $server->rtmp_url('ts') ]};
}
mc_flow hevc {
    mc_source udp://127.0.0.1:%%hevc%%;
    mc_output o @{[ $server->rtmp_url('hevc') ]};
}
mc_flow nobody {
    mc_source udp://127.0.0.1:%%unused%%;
    mc_output o rtmp://127.0.0.1:%%nobody%%/live/name;
}
END_FLOWS

$t->write_conf;
$t->start;


connected($t, 'main', 'pushed');
connected($t, 'main', 'listened');

my $publisher = publish($t, $source, "$dir/$file");

connected($t, 'main');


for my $name (qw/ odd lazy strict /) {
    connected($t, $name, 'o');
}

for ([ badname => qr/^"publish" refused: NetStream\.Publish\.BadName: \* is in use, \*/ ],
     [ refused => qr/^"connect" refused: NetConnection\.Connect\.Rejected: no app\?here/ ])
{
    my ($name, $message) = @$_;

    my $e = event($t, $name, 'rtmp_refused', 15, "$name: told");

    like($e->{message}, $message, "$name: why");
    like($t->output($name, 'o')->{last_error}, $message,
         "$name: the last error");
}

my $e = event($t, 'closed', 'rtmp_refused', 15, 'closed: told');
like($e->{message}, qr/^the server closed the connection at "connect"/,
     'closed: where');

$e = event($t, 'late', 'disconnected', 15, 'late: told');
like($e->{message}, qr/^NetStream\.Publish\.Failed: disk full/, 'late: why');

ok(event($t, 'garbage', 'connect_failed', 15), 'garbage: told');

$e = event($t, 'nobody', 'connect_failed', 15, 'nobody there: told');
like($e->{message}, qr/refused/i, 'nobody there: why');


# from transport streams

my $ts = sample($t, 'in.ts', seconds => 6, bframes => 2);
my $hevc = sample($t, 'hevc.ts', seconds => 4, video => 'hevc');

my @feeds = (feed($t, $ts, 'udp://127.0.0.1:%%ts%%'),
             feed($t, $hevc, 'udp://127.0.0.1:%%hevc%%'));
$_->wait(30) for @feeds;

ok($t->poll(sub { $t->output('hevc', 'o')->{rtmp}{frames} > 200 }, 10),
   'HEVC was published');
is($t->output('hevc', 'o')->{rtmp}{video_codec_id}, 'hvc1',
   'as Enhanced RTMP has it');

is($publisher->wait(40), 0, 'all was published');

$t->poll(sub { my $o = $t->output('main', 'pushed');
               $o->{rtmp}{frames} >= 700 && !$o->{rtmp}{queue} }, 20);

my $o = $t->output('main', 'pushed');

is($o->{dropped_packets}, 0, 'nothing was dropped');
cmp_ok($o->{rtmp}{frames}, '>=', 700, 'frames are counted');
is($o->{rtmp}{video_codec_id}, 7, 'H.264');
is($o->{rtmp}{audio_codec_id}, 10, 'AAC');
unlike($o->{url}, qr/hush/, 'the key is not shown');

$t->stop;

like($server->read_file('error.log'), qr/publish: name='pushed' args='key=hush-hush'/,
     'the key was sent');

$server->wait_log(qr/deleteStream/, 5);

unlike($t->read_file('error.log'), qr/hush/, 'nor is it logged');

$listener->wait(10);
$small->stop;
my $seen = $small->json;

like($seen->{odd}, qr/FCUnpublish.*deleteStream/s,
     'the end is told, with its message stream') or diag($seen->{odd});

same_media($t, $file, $server->recorded($t, 'pushed'), min => 200,
           name => 'what nginx-rtmp got');
same_media($t, $ts, $server->recorded($t, 'ts'), min => 100,
           name => 'what came from a transport stream');
same_media($t, $file, 'listened.flv', min => 200,
           name => 'what ffmpeg got');

$server->finish;
$t->finish;
done_testing();


# a few servers that know no more RTMP than the test needs

sub serve {
    my ($ending) = @_;

    my $select = IO::Select->new(values %socks);
    my %listen = map { $socks{$_} => $_ } keys %socks;
    my (%conns, %seen);

    while (!$ending->()) {
        for my $fh ($select->can_read(0.2)) {

            if (my $name = $listen{$fh}) {
                my $conn = $fh->accept or next;
                $conn->blocking(1);
                $select->add($conn);
                $conns{$conn} = { name => $name, buf => '', step => 0 };
                next;
            }

            my $s = $conns{$fh};

            if (!sysread $fh, my $data, 65536) {
                $select->remove($fh);
                delete $conns{$fh};
                close $fh;
                next;
            } else {
                $s->{buf} .= $data;
            }

            if ($s->{step} == 0 && length $s->{buf} >= 1537) {

                # S0, S1 of the plain handshake, S2

                my $c1 = substr $s->{buf}, 1, 1536;
                syswrite $fh, "\x03" . "\0" x 8 . 'r' x 1528 . $c1;
                substr $s->{buf}, 0, 1537, '';
                $s->{step} = 1;
            }

            if ($s->{step} == 1 && length $s->{buf} >= 1536) {
                substr $s->{buf}, 0, 1536, '';
                $s->{step} = 2;
            }

            next if $s->{step} < 2;

            # AMF strings stand in one piece, as chunks are large enough

            while ($s->{buf} =~ /\x02\x00(.)(connect|releaseStream|FCPublish
                                 |createStream|publish|FCUnpublish
                                 |deleteStream)\x00(.{8})/gsx)
            {
                my ($len, $cmd, $number) = ($1, $2, $3);
                next if ord $len != length $cmd;

                $seen{ $s->{name} } .= "$cmd ";
                $s->{done} = pos $s->{buf};

                my $answer = $servers{ $s->{name} }->($s, $cmd,
                                                      unpack 'd>', $number);
                if (!defined $answer) {
                    $select->remove($fh);
                    delete $conns{$fh};
                    close $fh;
                    last;
                }

                syswrite $fh, $answer if length $answer;
            }

            substr $s->{buf}, 0, delete $s->{done}, '' if $s->{done};
        }
    }

    return \%seen;
}

sub normal {
    my ($s, $cmd, $tx, $msid) = @_;

    return command(0, amf('_result'), amf($tx), "\x03" . member('fmsVer', 'x')
                   . "\0\0\x09", info('status', 'NetConnection.Connect.Success',
                                      'Connection succeeded.'))
        if $cmd eq 'connect';

    return command(0, amf('_result'), amf($tx), "\x05", amf($msid))
        if $cmd eq 'createStream';

    return status('status', 'NetStream.Publish.Start', 'Start publishing')
        if $cmd eq 'publish';

    return '' if $cmd =~ /^(FCUnpublish|deleteStream)$/;

    return command(0, amf('_result'), amf($tx), "\x05", "\x06");
}

sub error {
    my ($tx, $code, $description) = @_;

    return command(0, amf('_error'), amf($tx), "\x05",
                   info('error', $code, $description));
}

sub status {
    my ($level, $code, $description) = @_;

    return command(1, amf('onStatus'), amf(0), "\x05",
                   info($level, $code, $description));
}

sub info {
    my ($level, $code, $description) = @_;

    return "\x03" . member('level', $level) . member('code', $code)
        . member('description', $description) . "\0\0\x09";
}

sub member { pack('n/a*', $_[0]) . amf($_[1]) }

sub amf {
    my ($v) = @_;

    return $v =~ /^[\d.]+$/ ? "\0" . pack 'd>', $v : "\x02" . pack 'n/a*', $v;
}

# chunks of 128 bytes

sub command {
    my ($msid, @values) = @_;

    my $body = join '', @values;
    my $out = pack 'C a3 a3 C V', 3, "\0\0\0", substr(pack('N', length $body), 1),
                   20, $msid;

    $out .= substr $body, 0, 128, q();
    $out .= "\xc3" . substr $body, 0, 128, q() while length $body;

    return $out;
}
