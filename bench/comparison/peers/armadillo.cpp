// Armadillo's mixtures behind four C functions. Rows of a C-ordered N x D array are columns to Armadillo: no copy.
#include <armadillo>
#include <cstdint>

#include <omp.h>

namespace {

void set(arma::gmm_full& model, const arma::mat& means, double* covariances, const arma::rowvec& weights) {
    const arma::uword d = means.n_rows;
    model.set_params(means, arma::cube(covariances, d, d, means.n_cols), weights);
}

void set(arma::gmm_diag& model, const arma::mat& means, double* covariances, const arma::rowvec& weights) {
    model.set_params(means, arma::mat(covariances, means.n_rows, means.n_cols), weights);
}

const double* covariances_of(const arma::gmm_full& model) { return model.fcovs.memptr(); }
const double* covariances_of(const arma::gmm_diag& model) { return model.dcovs.memptr(); }

// EM from the model given, which is overwritten; false where Armadillo says that it failed.
template <class Model>
bool learn(double* X, int64_t n, int64_t d, int64_t k, int64_t n_iterations, int64_t n_threads,
           double* weights, double* means, double* covariances, int64_t n_covariances) {
    omp_set_num_threads(static_cast<int>(n_threads));
    const arma::mat rows(X, d, n, false, true);
    Model model;
    set(model, arma::mat(means, d, k), covariances, arma::rowvec(weights, k));
    const bool good = model.learn(rows, k, arma::eucl_dist, arma::keep_existing, 0, n_iterations, 0.0, false);
    std::copy_n(model.hefts.memptr(), k, weights);
    std::copy_n(model.means.memptr(), d * k, means);
    std::copy_n(covariances_of(model), n_covariances, covariances);
    return good;
}

// Mean log-likelihood.
template <class Model>
double score(double* X, int64_t n, int64_t d, int64_t k, double* weights, double* means, double* covariances) {
    Model model;
    set(model, arma::mat(means, d, k), covariances, arma::rowvec(weights, k));
    return model.avg_log_p(arma::mat(X, d, n, false, true));
}

}  // namespace

extern "C" {

bool learn_full(double* X, int64_t n, int64_t d, int64_t k, int64_t n_iterations, int64_t n_threads,
                double* weights, double* means, double* covariances) {
    return learn<arma::gmm_full>(X, n, d, k, n_iterations, n_threads, weights, means, covariances, d * d * k);
}

bool learn_diag(double* X, int64_t n, int64_t d, int64_t k, int64_t n_iterations, int64_t n_threads,
                double* weights, double* means, double* covariances) {
    return learn<arma::gmm_diag>(X, n, d, k, n_iterations, n_threads, weights, means, covariances, d * k);
}

double score_full(double* X, int64_t n, int64_t d, int64_t k, double* weights, double* means, double* covariances) {
    return score<arma::gmm_full>(X, n, d, k, weights, means, covariances);
}

double score_diag(double* X, int64_t n, int64_t d, int64_t k, double* weights, double* means, double* covariances) {
    return score<arma::gmm_diag>(X, n, d, k, weights, means, covariances);
}

const char* version() {
    static const std::string text = arma::arma_version::as_string();
    return text.c_str();
}
}
