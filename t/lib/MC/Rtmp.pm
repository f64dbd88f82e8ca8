package MC::Rtmp;

=head1 NAME

MC::Rtmp - publishers, players and servers of RTMP, and certificates

=head1 SYNOPSIS

    use MC::Rtmp qw/ publish play rtmp_server connected /;

    my $server = rtmp_server();
    my $t = MC->new(rtmp => 'server { listen 127.0.0.1:%%rtmp%%; ... }',
        flows => "mc_flow a { mc_source rtmp:///live/in;"
               . " mc_output o " . $server->rtmp_url('pushed') . '; }');

    publish($t, 'rtmp://127.0.0.1:%%rtmp%%/live/in', 'in.flv');
    connected($t, 'a', 'o');
    ...
    same_media($t, 'in.flv', $server->recorded($t, 'pushed'));
    $server->finish;

Everything is done by other programs than ours: ffmpeg, GStreamer, rtmpdump,
nginx-rtmp.

=cut

use strict;
use warnings;

use Carp qw/ croak /;
use Exporter qw/ import /;
use File::Copy qw/ copy /;
use Test::More;
use MC;

our @EXPORT_OK = qw/ publish play rtmp_server connected live event
                     certificates /;
our @ISA = 'MC';


=head2 publish(t, url, file, %options)

An MC::Process that publishes a file as it is, in its own time.  C<tool>: ffmpeg
or gst (rtmp2sink, FLV files only).  C<speed> (1), C<loop> (1 time), C<args>,
more of ffmpeg's options before the URL.

=cut

sub publish {
    my ($t, $url, $file, %o) = @_;

    if (($o{tool} || 'ffmpeg') eq 'gst') {

        # flvdemux and flvmux keep what is in the tags, and the clock paces

        return $t->spawn('publish-gst', qw/ gst-launch-1.0 -q filesrc /,
            "location=$file", qw/ ! flvdemux name=d flvmux name=m
            streamable=true ! rtmp2sink sync=true /, "location=$url",
            $o{audio_only} ? () : qw/ d.video ! h264parse ! queue ! m.video /,
            $o{video_only} ? () : qw/ d.audio ! aacparse ! queue ! m.audio /);
    }

    # an AVC configuration for each change of the parameter sets

    my @bsf = $file =~ /\.ts$/ && !$o{audio_only}
        ? ('-bsf:v', 'extract_extradata') : ();

    return $t->spawn('publish', qw/ ffmpeg -v error -nostdin /,
        '-readrate', $o{speed} || 1,
        $o{loop} ? ('-stream_loop', $o{loop} - 1) : (),
        '-i', $file, qw/ -map 0 -c copy -copyinkf /, @bsf,
        qw/ -flvflags no_duration_filesize /, @{ $o{args} || [] },
        qw/ -f flv /, $url);
}

=head2 play(t, url, file, %options)

An MC::Process that plays, into an FLV file, until it is stopped or the stream
ends.  C<tool>: ffmpeg, rtmpdump or gst; the last two write the bytes that came.
C<seconds>: of media.

=cut

sub play {
    my ($t, $url, $file, %o) = @_;

    my $tool = $o{tool} || 'rtmpdump';

    return $t->spawn('play', qw/ ffmpeg -v error -nostdin -y -i /, $url,
                     qw/ -map 0 -c copy -copyinkf -flush_packets 1 /,
                     $o{seconds} ? ('-t', $o{seconds}) : (), $file)
        if $tool eq 'ffmpeg';

    return $t->spawn('play-gst', qw/ gst-launch-1.0 -q -e rtmp2src /,
                     "location=$url", '!', 'filesink', "location=$file",
                     'buffer-mode=unbuffered')
        if $tool eq 'gst';

    croak "no such tool: $tool" if $tool ne 'rtmpdump';

    return $t->spawn('play-rtmpdump', qw/ rtmpdump -q --live -r /, $url,
                     '-o', $file, $o{seconds} ? ('-B', $o{seconds}) : ());
}


=head2 rtmp_server(%options)

A plain nginx-rtmp that records all of its application "live": an MC of its own,
to be ended with C<finish>.  C<app>, more inside application{}; C<rtmp>, more
inside rtmp{}; C<tls>, names of a certificate and key file: rtmps:// too;
C<stream>, more inside stream{}; C<log>; C<files> as of MC.

=cut

sub rtmp_server {
    my (%o) = @_;

    my ($modules, $stream) = ('', $o{stream} || '');

    if ($o{tls}) {
        my ($crt, $key) = @{ $o{tls} };

        $stream .= " server { listen 127.0.0.1:%%rtmps%% ssl;"
            . " ssl_certificate $crt; ssl_certificate_key $key;"
            . " proxy_pass 127.0.0.1:%%rtmp%%; }";
    }

    my $log = $o{log} || 'info';
    my $user = $> == 0 && ($ENV{MC_OWN_NETWORK} || '') ne 'user'
        ? 'user www-data;' : '';
    my $load = 'load_module /usr/lib/nginx/modules/ngx_';

    my $self = MC->new(start => 0, http => 0, workers => 1,
                       files => $o{files} || {}, conf => <<"END");
${load}rtmp_module.so;
@{[ $stream ? "${load}stream_module.so;" : '' ]}
daemon off;
$user
pid %%DIR%%/nginx.pid;
error_log %%DIR%%/error.log $log;
worker_processes 1;
events { worker_connections 512; }
@{[ $stream ? "stream { $stream }" : '' ]}
rtmp {
    access_log off;

    server {
        listen 127.0.0.1:%%rtmp%%;
        application live {
            live on;
            record all;
            record_path %%DIR%%/recorded;
            @{[ $o{app} || '' ]}
        }
    }
    @{[ $o{rtmp} || '' ]}
}
END

    # the sanitizer is for ours

    $self->{asan} = 0;

    mkdir $self->dir . '/recorded';
    chmod 0777, $self->dir . '/recorded';

    bless $self, 'MC::Rtmp';
    $self->start;

    return $self;
}

=head2 rtmp_url(name, [scheme, [app]])

Of that server, "live" by default.

=head2 recorded(t, name)

Copies what it has recorded of that stream into the test's prefix, and returns
the file's name there; undef if there is none.  C<recorded_size(name)>: its
bytes so far.

=cut

sub rtmp_url {
    my ($self, $name, $scheme, $app) = @_;

    $scheme ||= 'rtmp';

    return "$scheme://127.0.0.1:" . $self->port($scheme) . '/'
        . ($app || 'live') . "/$name";
}

sub recorded_size {
    my ($self, $name) = @_;

    return -s $self->dir . "/recorded/$name.flv" || 0;
}

sub recorded {
    my ($self, $t, $name) = @_;

    my $file = sprintf 'recorded-%d-%s.flv', ++$t->{seq}, $name;

    copy($self->dir . "/recorded/$name.flv", $t->dir . "/$file")
        or return undef;

    return $file;
}


=head2 connected(t, flow, [output, [pipeline]], %options)

Waits, as a test, until the flow's source, or that output, is connected.
C<live(t, flow)>: until frames or packets of the source come too.

=head2 event(t, flow, code, [seconds, [name]])

Waits for an event of that code; with a name, as a test.  Returns it.

=cut

sub connected {
    my ($t, $flow, $output, $pipeline) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $e;
    my $ok = $t->poll(sub {
        $e = defined $output ? $t->output($flow, $output, $pipeline)
                             : $t->source($flow, $pipeline);
        $e && $e->{state} eq 'connected'
    }, 20);

    return ok($ok, "$flow: " . (defined $output ? $output : 'the source')
              . ' is connected')
        || diag(explain($e)) && 0;
}

sub live {
    my ($t, $flow, $pipeline) = @_;

    return $t->poll(sub {
        my $s = $t->source($flow, $pipeline) or return 0;
        $s->{state} eq 'connected' && $s->{bytes}
    }, 20);
}

sub event {
    my ($t, $flow, $code, $seconds, $name) = @_;

    my $event;

    $t->poll(sub {
        ($event) = grep { $_->{code} eq $code } $t->events($flow);
        $event
    }, $seconds || 10);

    if (defined $name) {
        local $Test::Builder::Level = $Test::Builder::Level + 1;

        ok($event, $name)
            or diag(join ' ', map { $_->{code} } $t->events($flow));
    }

    return $event;
}


=head2 certificates(dir, name => [subject names, days], ...)

Makes a CA, "dir/ca.crt", and for each name "dir/NAME.crt" and ".key", signed
by it: subject names such as "DNS:localhost" and "IP:127.0.0.1".  Days below 0:
expired.  Returns the folder.

=cut

sub certificates {
    my ($dir, %certs) = @_;

    my @key = qw/ -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes /;

    mkdir $dir;

    _openssl(qw/ req -x509 /, @key, '-keyout', "$dir/ca.key",
             '-out', "$dir/ca.crt", '-days', 30, '-subj', '/CN=Test CA');

    for my $name (sort keys %certs) {
        my ($names, $days) = @{ $certs{$name} };

        open my $ext, '>', "$dir/$name.ext" or croak "$dir: $!";
        print $ext "subjectAltName = $names\nbasicConstraints = CA:FALSE\n";
        close $ext;

        _openssl('req', @key, '-keyout', "$dir/$name.key",
                 '-out', "$dir/$name.csr", '-subj', "/CN=$name");

        my @sign = (qw/ x509 -req /, '-in', "$dir/$name.csr",
                    '-CA', "$dir/ca.crt", '-CAkey', "$dir/ca.key",
                    '-CAcreateserial', '-extfile', "$dir/$name.ext",
                    '-out', "$dir/$name.crt");

        # Ended before it began: OpenSSL 3.0 knows no other way, and 3.5 not
        # that one.

        if (($days || 30) > 0 || !eval { _openssl(@sign, '-days', $days); 1 })
        {
            _openssl(@sign, ($days || 30) > 0 ? ('-days', $days || 30)
                     : ('-not_before', '20200101000000Z',
                        '-not_after', '20200102000000Z'));
        }

        chmod 0644, "$dir/$name.key";
    }

    return $dir;
}

sub _openssl {
    open my $fh, '-|', 'sh', '-c', 'exec timeout 30 openssl "$@" 2>&1', 'sh',
        @_ or croak "openssl: $!";

    my $out = do { local $/; <$fh> };

    close $fh or croak "openssl @_: $out";
}



1;
