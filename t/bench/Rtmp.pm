package Rtmp;

# RTMP beside ffmpeg and nginx-rtmp: measurements of t/bench/run.  Times of
# sending travel in the pictures themselves, see t/tools/mc_stamp.c.

use strict;
use warnings;

use File::Temp qw/ tempdir /;
use Time::HiRes qw/ sleep time /;

use MC;

my $opt;
my $media;

# ms, of mcstamp; it is taken off again
use constant LATENCY => 20;

use constant PLAYERS => 20;


sub scenarios {
    ($opt) = @_;

    return (
        {
            name => 'rtmp-srt', title => 'RTMP to SRT, 10 Mbit/s, 25 frames/s',
            programs => [
                { name => 'ffmpeg -c copy', base => 1, start => \&ffmpeg },
                nginx('rtmp:///live/x',
                      'srt://127.0.0.1:%%out%% latency=' . LATENCY),
            ],
            from => 'rtmp', to => 'srt', run => \&run, print => \&print_relay,
        },
        {
            name => 'rtmp-from-srt',
            title => 'SRT to RTMP, 10 Mbit/s, 25 frames/s',
            programs => [
                { name => 'ffmpeg -c copy', base => 1, start => \&ffmpeg },
                nginx('srt://:%%in%% latency=' . LATENCY,
                      'rtmp://127.0.0.1:%%far%%/live/x'),
            ],
            from => 'srt', to => 'rtmp', run => \&run,
            print => \&print_relay,
        },
        {
            name => 'rtmp-rtmp',
            title => 'RTMP to RTMP push, 10 Mbit/s, 25 frames/s',
            programs => [
                { name => 'ffmpeg -c copy', base => 1, start => \&ffmpeg },
                { name => 'nginx-rtmp push', start => \&nginx_rtmp },
                nginx('rtmp:///live/x', 'rtmp://127.0.0.1:%%far%%/live/x'),
            ],
            from => 'rtmp', to => 'rtmp', run => \&run,
            print => \&print_relay,
        },
        {
            name => 'rtmp-players',
            title => 'A player of RTMP, 2 Mbit/s, of ' . PLAYERS,
            programs => [
                { name => 'nginx-rtmp', base => 1, start => \&nginx_rtmp_live,
                  play => 'x' },
                { name => 'nginx', start => \&nginx_players, play => 'y' },
            ],
            run => \&run_players, print => \&print_players,
        },
    );
}


sub nginx {
    my ($source, $output) = @_;

    return map {
        my $batch = $_;

        {
            name => "nginx, mc_batch $batch",
            start => sub {
                my ($b) = @_;

                return start($b, server(),
                             "mc_batch $batch; mc_flow f { mc_source $source; "
                             . "mc_output o $output; }");
            },
        }
    } '0', '2ms';
}

sub server {
    my ($more, $port) = @_;

    return 'server { listen 127.0.0.1:%%' . ($port || 'in') . '%%; '
           . 'chunk_size 4096; application live { live on; '
           . ($more || '') . ' } }';
}

sub start {
    my ($b, $rtmp, $flows) = @_;

    my $t = $b->{t};

    $t->{rtmp} = $rtmp;
    $t->{flows} = $flows;
    $t->start;

    return $t;
}


# the programs

sub ffmpeg {
    my ($b, $s) = @_;

    my @in = $s->{from} eq 'rtmp'
        ? ('-listen', 1, '-i', 'rtmp://127.0.0.1:%%in%%/live/x')
        : ('-i', 'srt://127.0.0.1:%%in%%?mode=listener&latency='
                 . LATENCY * 1000);

    my @out = $s->{to} eq 'srt' ? ('-f', 'mpegts',
                                   'srt://127.0.0.1:%%out%%?latency='
                                   . LATENCY * 1000)
        : ('-f', 'flv', 'rtmp://127.0.0.1:%%far%%/live/x');

    return $b->{t}->spawn('ffmpeg', 'ffmpeg', '-v', 'error', @in,
                          '-c', 'copy', @out);
}

sub nginx_rtmp {
    my ($b) = @_;

    return start($b, server('push rtmp://127.0.0.1:%%far%%/live/x;'), '');
}

sub nginx_rtmp_live {
    my ($b) = @_;

    return start($b, server(), '');
}

sub nginx_players {
    my ($b) = @_;

    return start($b, server(), 'mc_flow f { mc_source rtmp:///live/x; '
                               . 'mc_output o rtmp:///live/y; }');
}


# one run

sub media {
    my ($mbit) = @_;

    $media ||= tempdir(CLEANUP => 1);

    my $name = "$media/$mbit";

    return $name if -e "$name.ts";

    my $rate = "${mbit}M";
    my $stamp = stamp();

    system('timeout', 300, 'ffmpeg', '-v', 'error', '-y', '-f', 'lavfi', '-i',
           'testsrc2=size=1280x720:rate=25,noise=alls=20:allf=t', '-f',
           'lavfi', '-i', 'sine=440:sample_rate=48000', '-t', 10,
           '-c:v', 'libx264', '-preset', 'ultrafast', '-g', 50, '-b:v', $rate,
           '-maxrate', $rate, '-bufsize', $rate, '-pix_fmt', 'yuv420p',
           '-c:a', 'aac', '-b:a', '128k', "$name-plain.flv") == 0
        or die "no sample\n";

    system($stamp, 'mark', "$name-plain.flv", "$name.flv") == 0
        or die "no marks\n";

    system('timeout', 60, 'ffmpeg', '-v', 'error', '-y', '-i', "$name.flv",
           '-c', 'copy', "$name.ts") == 0
        or die "no TS\n";

    return $name;
}

sub stamp {
    my $tool = "$MC::TOP/objs/tools/mcstamp";

    return $tool
        if system('make', '-s', '-C', "$MC::TOP/t/tools", 'mcstamp') == 0;
    die "mcstamp was not built: is librtmp-dev installed?\n";
}

sub far_server {
    my $far = MC->new(rtmp => server('', 'far'), flows => '', http => 0);

    return $far;
}

sub wait_tcp {
    my ($t, $port) = @_;

    $t->poll(sub {
        IO::Socket::IP->new(PeerHost => '127.0.0.1', PeerPort => $port);
    }, 10) or die "nobody listens\n";
}

# ffmpeg -listen takes one connection only: looked at from outside

sub wait_listen {
    my ($t, $port, $table) = @_;

    my $hex = sprintf ':%04X ', $port;

    $t->poll(sub {
        open my $fh, '<', "/proc/net/$table" or return 0;
        my $text = do { local $/; <$fh> };
        return $text =~ /^\s*\d+: [0-9A-F]+$hex/m;
    }, 10) or die "nobody listens\n";
}

sub run {
    my ($s, $p) = @_;

    my $name = media(10);
    my $stamp = stamp();

    my $t = MC->new(start => 0, limit => 60 + $opt->{seconds} * 3);
    my ($far, $recv);

    my $warm = 4;
    my $all = $opt->{seconds} + $warm + 2;
    my @how = ('--seconds', $all, '--skip', $warm - 1);

    if ($s->{to} eq 'srt') {
        $recv = $t->spawn('listen', $stamp, 'listen', '%%out%%', @how);
        $recv->wait_out(qr/listening/, 10);

    } else {
        $far = far_server();
        $t->{ports}{far} = $far->port('far');
    }

    my $relay = $p->{start}->({ t => $t }, $s);

    wait_listen($t, $t->port('in'), $s->{from} eq 'rtmp' ? 'tcp' : 'udp');

    my @send = $s->{from} eq 'rtmp'
        ? ('publish', 'rtmp://127.0.0.1:%%in%%/live/x', "$name.flv")
        : ('send', '127.0.0.1', '%%in%%', "$name.ts");

    my $send = $t->spawn('send', $stamp, @send, '--seconds', $all);

    if ($far) {

        # a player waits for the stream

        $recv = $t->spawn('play', $stamp, 'play',
                          "rtmp://127.0.0.1:%%far%%/live/x", @how);
    }

    sleep $warm;

    my @pids = main::pids($relay);
    my $cpu = MC::cpu_of(@pids);
    my $start = time();

    sleep $opt->{seconds};

    $cpu = MC::cpu_of(@pids) - $cpu;
    my $took = time() - $start;

    my $sent = $send->json(30);
    my $got = $recv->json(30);

    $t->_cleanup;
    $far->_cleanup if $far;

    my $srt = grep { $_ eq 'srt' } $s->{from}, $s->{to};
    my $less = $srt * LATENCY * 1000;

    return {
        cpu => $cpu * 1000 / $took,
        map({ ("${_}50" => $got->{"${_}_us"}{p50} - $less,
               "${_}99" => $got->{"${_}_us"}{p99} - $less) } 'first', 'last'),
        failed => $got->{first_us}{n} ? undef : 'nothing came through',
    };
}

sub print_relay {
    my ($s, $programs, $results) = @_;

    my ($base) = grep { $_->{base} } @$programs;
    my $ref = $base && main::column('cpu', @{ $results->{$base->{name}} });

    print "### $s->{title}\n\n",
          "| program | CPU ms/s | of ffmpeg | first byte of a picture, median "
          . "(p99) | its last byte |\n|---|---:|---:|---:|---:|\n";

    for my $p (@$programs) {
        my @ok = grep { !$_->{failed} } @{ $results->{$p->{name}} };

        if (!@ok) {
            print "| $p->{name} | failed | | | |\n";
            next;
        }

        my $cpu = main::column('cpu', @ok);

        printf "| %s | %s | %s | %s (%s) | %s (%s) |\n", $p->{name},
               main::figure($cpu), $ref ? sprintf('%.2f', $cpu / $ref) : '',
               map { main::ms(main::column($_, @ok)) }
                   qw/ first50 first99 last50 last99 /;
    }

    print "\n";
}

sub run_players {
    my ($s, $p) = @_;

    my $name = media(2);
    my $stamp = stamp();

    my $t = MC->new(start => 0, limit => 120 + $opt->{seconds} * 3);
    my $relay = $p->{start}->({ t => $t }, $s);
    my $all = $opt->{seconds} * 2 + 20;

    $t->spawn('send', $stamp, 'publish', 'rtmp://127.0.0.1:%%in%%/live/x',
              "$name.flv", '--seconds', $all);

    my @pids = main::pids($relay);
    my %cpu;

    my @players;

    for my $n (1, 1 + PLAYERS) {

        push @players, $t->spawn('play', $stamp, 'play',
                                 "rtmp://127.0.0.1:%%in%%/live/$p->{play}",
                                 '--seconds', $all, '--skip', 1)
            while @players < $n;

        sleep 3;

        my $cpu = MC::cpu_of(@pids);
        my $start = time();

        sleep $opt->{seconds};

        $cpu{$n} = (MC::cpu_of(@pids) - $cpu) * 1000 / (time() - $start);
    }

    $_->signal('TERM') for @players;

    my @got = map { $_->json(10) } @players;
    my ($least) = sort { $a <=> $b } map { $_->{pictures} } @got;

    $t->_cleanup;

    return {
        first => $cpu{1}, each => ($cpu{1 + PLAYERS} - $cpu{1}) / PLAYERS,
        failed => $least ? undef : 'a player got nothing',
    };
}

sub print_players {
    my ($s, $programs, $results) = @_;

    my ($base) = grep { $_->{base} } @$programs;
    my $ref = $base && main::column('each', @{ $results->{$base->{name}} });

    print "### $s->{title}\n\n",
          "| program | one player, CPU ms/s | each more | of nginx-rtmp |\n",
          "|---|---:|---:|---:|\n";

    for my $p (@$programs) {
        my @ok = grep { !$_->{failed} } @{ $results->{$p->{name}} };

        if (!@ok) {
            print "| $p->{name} | failed | | |\n";
            next;
        }

        my $each = main::column('each', @ok);

        printf "| %s | %s | %.2f | %s |\n", $p->{name},
               main::figure(main::column('first', @ok)), $each,
               $ref ? sprintf('%.2f', $each / $ref) : '';
    }

    print "\n";
}


1;
