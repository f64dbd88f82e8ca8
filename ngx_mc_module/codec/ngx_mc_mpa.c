
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_mc_codec.h>

#include <bitstream/mpeg/mpga.h>


/* object types of ISO/IEC 14496-3, 1.5.1: layers 1 to 3 */
#define NGX_MC_MPA_TYPE  31


/* kbit/s by bitrate_index: MPEG-1 by layer, MPEG-2 layer 1, layers 2 and 3 */

static uint16_t  ngx_mc_mpa_bitrates[5][15] = {
    { 0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448 },
    { 0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384 },
    { 0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320 },
    { 0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256 },
    { 0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160 }
};

static uint32_t  ngx_mc_mpa_rates[3] = { 44100, 48000, 32000 };


ngx_int_t
ngx_mc_mpa_read(u_char *data, size_t len, ngx_mc_track_info_t *info,
    uint32_t *size, uint32_t *samples)
{
    uint32_t    bitrate, rate, n, slots, padding;
    ngx_uint_t  layer, mpeg1, mpeg25;

    if (len < MPGA_HEADER_SIZE || data[0] != 0xff || (data[1] & 0xe0) != 0xe0)
    {
        return NGX_ERROR;
    }

    mpeg1 = mpga_get_id(data);
    mpeg25 = mpga_get_mpeg25(data);

    /* a free bit rate would have to be measured */

    if ((mpeg1 && mpeg25)
        || mpga_get_layer(data) == MPGA_LAYER_ADTS
        || mpga_get_bitrate_index(data) == 0
        || mpga_get_bitrate_index(data) == MPGA_BITRATE_INVALID
        || mpga_get_sampling_freq(data) == MPGA_SAMPLERATE_INVALID)
    {
        return NGX_ERROR;
    }

    layer = 4 - mpga_get_layer(data);

    n = mpeg1 ? layer - 1 : (layer == 1) ? 3 : 4;
    bitrate = ngx_mc_mpa_bitrates[n][mpga_get_bitrate_index(data)] * 1000;

    rate = ngx_mc_mpa_rates[mpga_get_sampling_freq(data)];

    if (!mpeg1) {
        rate /= mpeg25 ? 4 : 2;
    }

    switch (layer) {

    case 1:
        n = 384;
        break;

    case 2:
        n = 1152;
        break;

    default:
        n = mpeg1 ? 1152 : 576;
    }

    /* a slot is four bytes in layer 1 */

    padding = mpga_get_padding(data);
    slots = (layer == 1) ? 4 : 1;

    *size = (n / 8 / slots * bitrate / rate + padding) * slots;
    *samples = n;

    info->type = NGX_MC_TRACK_AUDIO;
    info->codec = (layer == 3) ? NGX_MC_CODEC_MP3 : NGX_MC_CODEC_MP2;
    info->profile = NGX_MC_MPA_TYPE + layer;
    info->level = 0;
    info->channels = (mpga_get_mode(data) == MPGA_MODE_MONO) ? 1 : 2;
    info->sample_rate = rate;
    info->bitrate = bitrate;

    return NGX_OK;
}
