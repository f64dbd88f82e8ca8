#!/usr/bin/perl

# An RTMP server that stops reading: video is dropped whole groups of pictures
# at a time, memory does not grow, what comes after begins at a key frame; the
# end of a server that reads nothing for long; messages of many megabytes.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use IO::Select;
use IO::Socket::IP;
use Socket qw/ SOL_SOCKET SO_RCVBUF /;
use Test::More;
use Time::HiRes qw/ time sleep /;

use MC;
use MC::Media qw/ sample packets same_media /;
use MC::Rtmp qw/ publish rtmp_server connected event /;


my $server = rtmp_server(rtmp => <<'END_RTMP');
server {
    listen 127.0.0.1:%%large%%;
    max_message 16m;
    application live { live on; record all; record_path %%DIR%%/recorded; }
}
END_RTMP

my $in = $server->rtmp_url('in');

# between us and the server, one that can be told to stop reading

my $relay = IO::Socket::IP->new(Listen => 8, LocalAddr => '127.0.0.1',
                                LocalPort => 0, ReuseAddr => 1) or die $!;
setsockopt $relay, SOL_SOCKET, SO_RCVBUF, pack 'l', 65536;

my $deaf = IO::Socket::IP->new(Listen => 8, LocalAddr => '127.0.0.1',
                               LocalPort => 0, ReuseAddr => 1) or die $!;
setsockopt $deaf, SOL_SOCKET, SO_RCVBUF, pack 'l', 65536;

my ($relay_port, $deaf_port) = ($relay->sockport, $deaf->sockport);
my $large = $server->port('large');

my $t = MC->new(rtmp => '', flows => <<"END_FLOWS");
mc_flow a {
    mc_source $in;
    mc_output slow rtmp://127.0.0.1:$relay_port/live/slow;
    mc_output deaf rtmp://127.0.0.1:$deaf_port/live/deaf;
    mc_output well @{[ $server->rtmp_url('well') ]};
}
mc_flow b {
    mc_source rtmp://127.0.0.1:$large/live/big;
    mc_output big rtmp://127.0.0.1:$large/live/bigger;
    mc_output usual @{[ $server->rtmp_url('usual') ]};
}
END_FLOWS

my $dir = $t->dir;
my $rtmp = $server->port('rtmp');

$t->background('relay', sub { relay($_[0], $relay, 'stop') });
$t->background('deaf', sub { relay($_[0], $deaf, 'deaf') });

# 12 Mbit/s: what the kernel buffers is full in little time

my $file = sample($t, 'in.flv', seconds => 25, rate => '12000k', gop => 25,
                  size => '640x360');

connected($t, 'a', 'slow');
connected($t, 'a', 'deaf');

my $publisher = publish($t, $in, "$dir/$file");

connected($t, 'a');
ok($t->poll(sub { $t->output('a', 'slow')->{rtmp}{frames} > 100 }, 20),
   'frames');

my $rss = $t->rss;
$t->write_file('stop', '');
$t->write_file('deaf', '');

ok($t->poll(sub { $t->output('a', 'slow')->{dropped_packets} > 20 }, 25),
   'frames are dropped') or diag(explain($t->output('a', 'slow')));

unlink "$dir/stop";

event($t, 'a', 'slow_output', 10, 'which is told');
cmp_ok($t->rss - $rss, '<', 60 * 1024 * 1024, 'memory is bounded');

my $dropped = $t->output('a', 'slow')->{rtmp}{dropped_frames};
cmp_ok($dropped, '>', 20, 'dropped frames are counted');
is($t->output('a', 'well')->{dropped_packets}, 0, 'the others lose nothing');

is($publisher->wait(60), 0, 'all was published');

ok($t->poll(sub {
       grep { $_->{message} =~ /the server takes no data/ } $t->events('a')
   }, 20), 'a server that reads nothing is given up')
    or diag(join "\n", map { $_->{message} } $t->events('a'));

$t->poll(sub { !$t->output('a', 'slow')->{rtmp}{queue} }, 10);

# large messages: a key frame of more than 2 MB

my $big = sample($t, 'big.flv', seconds => 2, fps => 5, gop => 5,
                 size => '1920x1080', rate => '200M',
                 args => [qw/ -preset ultrafast -qp 0 /]);

connected($t, 'b', 'big');
publish($t, "rtmp://127.0.0.1:$large/live/big", "$dir/$big")->wait(40);

my $e = event($t, 'b', 'disconnected', 10, 'a server that takes no such: told');
like($e->{message}, qr/after a message of \d{7,} bytes/,
     'and why');

$t->stop;

same_media($t, $file, $server->recorded($t, 'well'), min => 400,
           name => 'what a server that reads got');

same_media($t, $big, $server->recorded($t, 'bigger'), min => 5, audio => 1,
           name => 'what a server that takes 2 MB got');

my $slow = $server->recorded($t, 'slow');

like(frames_after_gap($slow), qr/^(K[.]*)+$/,
     'whole groups of pictures are missing');

$server->finish;
$t->finish;
done_testing();


sub relay {
    my ($ending, $listen, $stop) = @_;

    while (!$ending->()) {
        my $select = IO::Select->new($listen);
        $select->can_read(0.2) or next;

        my $c = $listen->accept or next;
        my $s = IO::Socket::IP->new(PeerAddr => '127.0.0.1',
                                    PeerPort => $rtmp) or next;

        $select = IO::Select->new($c, $s);

        CONN: while (!$ending->()) {
            for my $fh ($select->can_read(0.1)) {
                next if $fh == $c && -e "$dir/$stop";

                sysread $fh, my $data, 65536 or last CONN;
                my $to = $fh == $c ? $s : $c;

                while (length $data) {
                    my $n = syswrite $to, $data or last CONN;
                    substr $data, 0, $n, '';
                }
            }

            sleep 0.05 if -e "$dir/$stop";
        }

        close $c;
        close $s;
    }

    return {};
}

# a K for each key frame, a dot for each other, in the file's order

sub frames_after_gap {
    my ($file) = @_;

    my (undef, $text) = $t->run(qw/ ffprobe -v error -select_streams v
        -show_entries packet=flags -of csv=p=0 /, "$dir/$file");

    return join '', map { /K/ ? 'K' : '.' } split /\n/, $text;
}
