#include <ngx_mc.h>
#define W __attribute__((weak))
W ngx_str_t ngx_mc_codec_names[NGX_MC_CODEC_N];
W ngx_int_t ngx_mc_video_config_read(ngx_uint_t c, u_char *d, size_t l, ngx_mc_video_config_t *cfg, ngx_mc_track_info_t *i) { return NGX_ERROR; }
W ngx_int_t ngx_mc_aac_config_read(u_char *d, size_t l, ngx_mc_track_info_t *i) { return NGX_ERROR; }
W ngx_int_t ngx_mc_mpa_read(u_char *d, size_t l, ngx_mc_track_info_t *i, uint32_t *s, uint32_t *n) { return NGX_ERROR; }
W ngx_mc_ts_demux_t *ngx_mc_ts_demux_create(ngx_mc_ts_select_t *s, ngx_mc_ts_demux_handlers_t *h, void *d, ngx_log_t *log) { return ngx_calloc(1024, log); }
W void ngx_mc_ts_demux_free(ngx_mc_ts_demux_t *dm) { ngx_free(dm); }
W void ngx_mc_ts_demux(ngx_mc_ts_demux_t *dm, u_char *ts, size_t len, int64_t o) {}
W void ngx_mc_ts_demux_reset(ngx_mc_ts_demux_t *dm) {}
W void ngx_mc_ts_demux_flush(ngx_mc_ts_demux_t *dm) {}
W ngx_mc_ts_demux_track_t *ngx_mc_ts_demux_tracks(ngx_mc_ts_demux_t *dm) { return (void *) dm; }
W const char *ngx_mc_ts_demux_problem(ngx_mc_ts_demux_t *dm) { return NULL; }
W uint64_t ngx_mc_ts_demux_damaged(ngx_mc_ts_demux_t *dm) { return 0; }
W ngx_mc_ts_mux_t *ngx_mc_ts_mux_create(uint64_t r, ngx_uint_t c, ngx_mc_ts_mux_send_pt s, void *d, ngx_log_t *log) { return ngx_calloc(8, log); }
W void ngx_mc_ts_mux_free(ngx_mc_ts_mux_t *mx) { ngx_free(mx); }
W void ngx_mc_ts_mux_frame(ngx_mc_ts_mux_t *mx, ngx_mc_frame_t *f) {}
W void ngx_mc_ts_mux_tick(ngx_mc_ts_mux_t *mx, int64_t now) {}
W uint64_t ngx_mc_ts_mux_dropped(ngx_mc_ts_mux_t *mx) { return 0; }
